import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FileLock, syncfsPath } from '@atomic/linux';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { lockWithWord, releaseLock, removeTree, writeJson } from '@atomic/sysroot';
import { asLocked } from '../locked.ts';
import { withNameLock } from '../name-lock.ts';
import { remainingData } from './data.ts';
import { checkName, type Deployed, findDeployed, listDeployed, openJournals, readHistory } from './deployments.ts';
import { hostState } from './host-file.ts';
import { keepLocal, planChange } from './plan.ts';
import {
  checkRecord,
  type DeployedUnit,
  type DeploymentRecord,
  type HealthCheck,
  type HistoryEvent,
} from './record.ts';
import { dropStaged, makePapers, type Step, stagingOf, stepsOf } from './steps.ts';
import { groundOf, type LifecycleOptions, type Recovered, Transition } from './transition.ts';

export type { LifecycleOptions, Recovered } from './transition.ts';

/** What a room made of what is to be deployed. */
export interface Staged {
  /** Files for the host; `source` is relative to the staged folder. */
  files: readonly { path: string; source: string; managed: boolean }[];
  /** In the order in which they start. */
  units: readonly DeployedUnit[];
  /** Relative to the staged folder. */
  tmpfiles?: readonly string[];
  health?: Partial<HealthCheck>;
  /** Kept in the record for the room; JSON. */
  details: unknown;
  /** What a person should know. */
  notes?: readonly string[];
}

export interface DeployOptions extends BeginOptions {
  /** The room's name. */
  kind: string;
  /** Two deployments with the same are the same. */
  identity: string;
  title: string;
  /** Fills `folder`, which will be at `place` later. Nothing of it is in use before it returns. */
  stage: (where: { folder: string; place: string; id: number }) => Promise<Staged>;
  /** Start it: always, never, or where the one before ran (the default). */
  start?: 'as-before' | 'yes' | 'no';
  /** Only where nothing has the name yet: what is there stays as it is. */
  fresh?: boolean | undefined;
  /** Only say what would be done. */
  dryRun?: boolean | undefined;
}

/** How a change ended that did what was asked. */
export interface Changed {
  /** `planned`: a dry run. */
  outcome: 'done' | 'unchanged' | 'planned';
  name: string;
  from: number | null;
  to: number | null;
  steps: Step[];
  notes: string[];
  record: DeploymentRecord | null;
}

const DEFAULT_HEALTH: HealthCheck = { probes: [], seconds: 60, interval: 2, settle: 3 };

/**
 * Deployments of anything that is a folder, files on the host and units: installed, updated, rolled back and removed as
 * one. Beside each other lie `NAME.0`, `NAME.1`…; the link `NAME` says which is in use. A change is planned whole and
 * written to a journal before the first step; until it has proved well, whoever finds that journal goes back.
 */
export class Lifecycle {
  readonly folder: string;
  readonly #options: LifecycleOptions;
  readonly #transition: Transition;

  constructor(options: LifecycleOptions) {
    this.folder = options.folder;
    this.#options = options;
    this.#transition = new Transition(options);
  }

  /** All that is deployed; never throws for what is broken in it. */
  list(): Deployed[] {
    return listDeployed(this.folder);
  }

  find(name: string): Deployed | undefined {
    return findDeployed(this.folder, name);
  }

  /** What happened to a name, newest first; it is kept when the name is removed. */
  history(name: string): HistoryEvent[] {
    return readHistory(this.folder, name);
  }

  /** Why a version was given up the last time it was tried; null: it was not, or it was well since. */
  gaveUp(name: string, identity: string): HistoryEvent | null {
    const last = this.history(name).find((event) => event.identity === identity && event.verb !== 'uninstall');
    return last?.outcome === 'unhealthy' ? last : null;
  }

  /**
   * Deploys a new version beside the one in use, switches to it, and keeps it if it is well. Throws `OutcomeError`:
   * `unhealthy` when it was not and things are as before, `stuck` when going back failed too; any other error leaves
   * things as they were, or says that the change is done and only clearing up is left to the next command.
   */
  async deploy(name: string, options: DeployOptions): Promise<Changed> {
    checkName(name);
    return await this.#locked(options, name, async () => {
      const old = this.#current(name);
      const unchanged = { outcome: 'unchanged' as const, name, from: old?.id ?? null, steps: [], notes: [] };
      if (old !== null && (options.fresh || old.identity === options.identity))
        return { ...unchanged, to: old.id, record: old };
      const id = this.#nextId(name);
      const ground = groundOf(this.#options, name);
      const folder = stagingOf(ground, id);
      // What an attempt left that could not be removed then would be taken for what is staged now.
      removeTree(folder);
      mkdirSync(folder, { mode: 0o755 });
      try {
        const staged = await options.stage({ folder, place: join(this.folder, `${name}.${id}`), id });
        options.signal?.throwIfAborted();
        const staging = this.#record({ name, id, options, staged, folder });
        const start = options.start ?? 'as-before';
        const left = old === null ? this.#left(name) : undefined;
        const plan = await planChange(ground, { from: old, to: staging, staged: true, start, left });
        const notes = [...(staged.notes ?? []), ...plan.notes];
        const steps = stepsOf(plan.change, id);
        const result = { name, from: old?.id ?? null, to: id, steps, notes, record: plan.to };
        if (options.dryRun === true) return { ...result, outcome: 'planned' };
        keepLocal(plan, ground);
        writeJson(join(folder, 'info'), plan.to);
        // One for all that was written: hard links and copies alike.
        syncfsPath(folder);
        const verb = old === null ? 'install' : 'update';
        await this.#transition.go({ verb, ground, plan: plan.change, place: id, to: plan.to, options });
        return { ...result, outcome: 'done' };
      } finally {
        dropStaged(folder);
      }
    });
  }

  /** Goes back to the deployment that was in use before this one, or to the one named. Errors as for `deploy`. */
  async rollback(name: string, options: BeginOptions & { to?: number; dryRun?: boolean } = {}): Promise<Changed> {
    return await this.#locked(options, name, async () => {
      const there = this.find(name);
      const active = there?.active ?? this.#unknown(name);
      const old = there?.record ?? null;
      const target = this.#rollbackTarget(name, active, options.to);
      const ground = groundOf(this.#options, name);
      const damaged = old === null ? active : undefined;
      const plan = await planChange(ground, { from: old, to: target, staged: false, start: 'as-before', damaged });
      const steps = stepsOf(plan.change, null);
      const result = { name, from: active, to: target.id, steps, notes: plan.notes, record: target };
      if (options.dryRun === true) return { ...result, outcome: 'planned' };
      keepLocal(plan, ground);
      const change = { ground, plan: plan.change, place: null, to: target, options };
      await this.#transition.go({ verb: 'rollback', ...change });
      return { ...result, outcome: 'done' };
    });
  }

  /**
   * Stops it and removes all of it; files that were changed on the host stay, and are named, and so does its data unless
   * `purge` is set.
   */
  async remove(name: string, options: BeginOptions & { purge?: boolean; dryRun?: boolean } = {}): Promise<Changed> {
    return await this.#locked(options, name, async () => {
      const there = this.find(name) ?? this.#unknown(name);
      const ground = groundOf(this.#options, name);
      const plan = await planChange(ground, { from: there.record, to: null, staged: false, start: 'no' });
      const steps = stepsOf(plan.change, null);
      const notes = [...plan.notes];
      if (there.record === null) notes.push(`${name}: its record could not be read; files on the host are left`);
      const { purge = false } = options;
      // Of every version: one that was gone back from made some as well.
      const data = [...new Set(there.deployments.flatMap(({ record }) => record?.data ?? []))];
      const result = { name, from: there.active, to: null, steps, notes, record: there.record };
      const tell = (paths: readonly string[], what: string): void => {
        if (paths.length > 0) notes.push(`${paths.join(', ')}: ${what}`);
      };
      const stays = 'its data, which stays (--purge removes it too)';
      if (options.dryRun === true) {
        tell(remainingData(data, ground.root, !purge), purge ? 'its data, goes too' : stays);
        return { ...result, outcome: 'planned' };
      }
      keepLocal(plan, ground);
      const change = { ground, plan: plan.change, place: null, to: null, options, drop: { data, purge } };
      await this.#transition.go({ verb: 'uninstall', ...change });
      tell(remainingData(data, ground.root), purge ? 'its data, which could not be removed' : stays);
      return { ...result, outcome: 'done' };
    });
  }

  /** Starts or stops the units of what is deployed. */
  async run(name: string, what: 'start' | 'stop', options: BeginOptions = {}): Promise<void> {
    await this.#locked(options, name, async () => {
      const { units } = this.#current(name) ?? this.#unknown(name);
      const names = units.filter(({ start }) => start).map((unit) => unit.name);
      const { services } = this.#options;
      await (what === 'start' ? services.start(names, { signal: options.signal }) : services.stop(names.reverse()));
    });
  }

  /** Ends what was cut off; every change does so first. At boot this is its own service. */
  async recover(options: BeginOptions = {}): Promise<Recovered[]> {
    if (!existsSync(this.folder)) return [];
    return await this.#locked(options, null, async (recovered) => recovered);
  }

  /**
   * Does `work` while nobody else who asks so changes what has this name: for what a room does before and after a change,
   * which holds a lock of its own. Throws `locked` with `wait: false`.
   */
  async alone<T>(name: string, { wait, signal, onWait }: BeginOptions, work: () => Promise<T>): Promise<T> {
    this.#makeFolder();
    const { title } = this.#options;
    const lock = { folder: join(this.folder, '.names'), backend: 'deployments', name, title, wait, signal, onWait };
    return await withNameLock(lock, work);
  }

  /** Whether something was cut off, or is under way. */
  get interrupted(): boolean {
    const { journals, broken } = openJournals(this.folder);
    return journals.length + broken.size > 0;
  }

  /** Holding the lock, with nothing cut off left; what cannot be ended is in the way of its own name only. */
  async #locked<T>(
    options: BeginOptions,
    name: string | null,
    use: (recovered: Recovered[]) => Promise<T>,
  ): Promise<T> {
    const lock = await this.#lock(options);
    try {
      const { recovered, stuck } = await this.#recoverAll();
      const error = name === null ? [...stuck.values()][0] : stuck.get(name);
      if (error !== undefined) throw error;
      return await use(recovered);
    } finally {
      releaseLock(lock);
    }
  }

  #makeFolder(): void {
    mkdirSync(dirname(this.folder), { recursive: true, mode: 0o755 });
    // Trees of images have programs with privileges in them, of old versions too: nobody but their owner gets there.
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
  }

  async #lock(options: BeginOptions): Promise<FileLock> {
    this.#makeFolder();
    makePapers(this.folder);
    try {
      return await lockWithWord(join(this.folder, '.lock'), this.#options.title, options);
    } catch (error) {
      throw asLocked(error, `changing what is in ${this.folder}`);
    }
  }

  /** The record of what is in use; null where nothing is. Throws where it cannot be read. */
  #current(name: string): DeploymentRecord | null {
    const there = this.find(name);
    if (there === undefined || there.active === null) return null;
    if (there.record !== null) return there.record;
    const why = there.deployments.find(({ id }) => id === there.active)?.why ?? `${name}.${there.active} is missing`;
    throw new AtomicError('corrupt', `${name} is damaged: ${why}`, {
      hint: `go back to one that is whole: atomic containers rollback ${name}; or atomic uninstall ${name}`,
    });
  }

  #unknown(name: string): never {
    throw new AtomicError('not-found', `${name} is not installed`, { hint: 'see: atomic containers list --all' });
  }

  /** What was left when it was uninstalled the last time. */
  #left(name: string): HistoryEvent | undefined {
    return this.history(name).find(({ verb, outcome }) => verb === 'uninstall' && outcome === 'done');
  }

  #nextId(name: string): number {
    const used = (this.find(name)?.deployments ?? []).map(({ id }) => id);
    return Math.max(-1, ...used) + 1;
  }

  #record(made: {
    name: string;
    id: number;
    options: DeployOptions;
    staged: Staged;
    folder: string;
  }): DeploymentRecord {
    const { name, id, options, staged, folder } = made;
    const { now = () => new Date() } = this.#options;
    return checkRecord({
      version: 1,
      kind: options.kind,
      name,
      id,
      created: now().toISOString(),
      identity: options.identity,
      title: options.title,
      files: staged.files.map((file) => {
        const state = hostState(join(folder, file.source));
        if (state !== null && state !== 'folder' && state !== 'special') return { ...file, state, foreign: false };
        throw new AtomicError('invalid', `${name}: ${file.source} for ${file.path} is no file`);
      }),
      folders: [],
      units: [...staged.units],
      tmpfiles: [...(staged.tmpfiles ?? [])],
      data: [],
      health: { ...DEFAULT_HEALTH, ...staged.health },
      details: staged.details,
    });
  }

  #rollbackTarget(name: string, active: number, wanted: number | undefined): DeploymentRecord {
    const others = (this.find(name)?.deployments ?? []).filter(({ id }) => id !== active);
    const before = this.history(name).find(({ to, outcome }) => to === active && outcome === 'done')?.from;
    const target =
      wanted === undefined
        ? (others.find(({ id, record }) => id === before && record !== null) ??
          others.find(({ record }) => record !== null))
        : others.find(({ id }) => id === wanted);
    if (target?.record) return target.record;
    const list = others.map(({ id }) => id).join(', ');
    const [which, hint] =
      wanted === undefined
        ? ['no other deployment', undefined]
        : [`no deployment ${wanted} to go to`, list === '' ? undefined : `there are: ${list}`];
    throw new AtomicError('not-found', `${name} has ${which}${target === undefined ? '' : `: ${target.why}`}`, {
      hint,
    });
  }

  async #recoverAll(): Promise<{ recovered: Recovered[]; stuck: Map<string, unknown> }> {
    const stage = join(this.folder, '.stage');
    for (const left of readdirSync(stage)) dropStaged(join(stage, left));
    const recovered: Recovered[] = [];
    const { journals, broken } = openJournals(this.folder);
    const stuck = new Map<string, unknown>(broken);
    for (const journal of journals) {
      try {
        recovered.push(await this.#transition.recover(journal));
      } catch (error) {
        stuck.set(journal.name, error);
      }
    }
    return { recovered, stuck };
  }
}
