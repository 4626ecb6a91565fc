import { randomUUID } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fsyncPath } from '@atomic/linux';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { writeJson } from '@atomic/sysroot';
import { OutcomeError } from '../outcome.ts';
import { dropData } from './data.ts';
import { activeId, findDeployed, historyPath, journalPath, readHistory } from './deployments.ts';
import { type Prober, thisMachine, whyUnwell } from './health.ts';
import { dropFolder } from './host-file.ts';
import type { DeploymentRecord, Journal, Verb } from './record.ts';
import type { Services } from './services.ts';
import { byDepth, dropStaged, type Ground, inverse, type Step, stepsOf, take } from './steps.ts';

export interface LifecycleOptions {
  /** Where the deployments are. */
  folder: string;
  services: Services;
  /** The host's root (default '/'). */
  root?: string | undefined;
  /** How the machine is asked whether what was started is well. */
  prober?: Prober | undefined;
  /** What this process does, for those who wait for the lock. */
  title: string;
  /** How many deployments of a name are kept, the one in use among them (3). */
  keep?: number | undefined;
  now?: (() => Date) | undefined;
  /** Told what happens. */
  onStep?: ((name: string, step: Step) => void) | undefined;
}

/** A change that was cut off, and what became of it. */
export interface Recovered {
  name: string;
  verb: Verb;
  /** What runs now; null: nothing. */
  active: number | null;
  outcome: Journal['outcome'];
  reason: string | null;
}

const MAX_EVENTS = 50;
const CUT_OFF = 'it was cut off before it had proved well';

export const groundOf = ({ folder, root = '/', services }: LifecycleOptions, name: string): Ground => ({
  folder,
  name,
  root: root === '/' ? '' : root,
  services,
});

/** Carries changes out by their journal, whose lock the caller holds. */
export class Transition {
  readonly folder: string;
  readonly #options: LifecycleOptions;

  constructor(options: LifecycleOptions) {
    this.folder = options.folder;
    this.#options = options;
  }

  /** The whole change: journal, steps, health, and either its end or the way back. */
  async go(task: {
    verb: Verb;
    ground: Ground;
    plan: Journal['change'];
    place: number | null;
    to: DeploymentRecord | null;
    options: BeginOptions;
    /** Data that is of no use afterwards. */
    drop?: Pick<Journal, 'data' | 'purge'>;
  }): Promise<void> {
    const { verb, ground, plan, place, to, options, drop = { data: [], purge: false } } = task;
    const { services, prober = thisMachine, now = () => new Date(), onStep } = this.#options;
    const { name } = ground;
    const journal: Journal = {
      version: 1,
      name,
      verb,
      started: now().toISOString(),
      identity: to?.identity ?? '',
      phase: 'going',
      outcome: 'done',
      reason: null,
      change: plan,
      discard: this.#superfluous(name, plan.to),
      ...drop,
    };
    writeJson(journalPath(this.folder, name), journal);
    const end: Journal = { ...journal, phase: 'finishing' };
    let failure: { error: unknown; reason: string; unwell: boolean } | null = null;
    try {
      let unwell: string | null = null;
      try {
        for (const step of stepsOf(plan, place)) {
          options.signal?.throwIfAborted();
          onStep?.(name, step);
          await take(step, ground, { signal: options.signal }).catch((error: unknown) => {
            // A unit that does not start is what a health check is for; the rest are mishaps of ours.
            if (step.do !== 'start' || options.signal?.aborted || !services.running) throw error;
            unwell = error instanceof Error ? error.message : String(error);
          });
          if (unwell !== null) break;
        }
        if (unwell === null && plan.start.length > 0 && to !== null) {
          unwell = await whyUnwell(plan.start, to.health, services, prober, options.signal);
        }
      } finally {
        options.signal?.throwIfAborted();
      }
      if (unwell === null) writeJson(journalPath(this.folder, name), end);
      else failure = { error: undefined, reason: unwell, unwell: true };
    } catch (error) {
      failure = { error, reason: error instanceof Error ? error.message : String(error), unwell: false };
    }
    // Decided: whatever happens from here on, there is no way back.
    if (failure === null) return this.#clearUp(end, to?.title);
    const outcome = failure.unwell ? 'unhealthy' : options.signal?.aborted ? 'interrupted' : 'failed';
    const back: Journal = { ...journal, phase: 'returning', outcome, reason: failure.reason };
    this.#clearUp(await this.#goBack(back, ground, { wait: true }), to?.title);
    if (!failure.unwell) throw failure.error;
    const ends = plan.from === null ? 'it was taken away again' : `${name}.${plan.from} is in use again`;
    throw new OutcomeError('unhealthy', `${name} is not well: ${failure.reason}; ${ends}`, {
      hint: 'the reason is kept in its history',
    });
  }

  /**
   * The way back, up to where it is decided; its failure leaves the journal, so that the next command and the next boot
   * try again. Returns the journal to finish.
   */
  async #goBack(journal: Journal, ground: Ground, options: { wait: boolean }): Promise<Journal> {
    const { services, prober = thisMachine, onStep } = this.#options;
    const { name, reason } = journal;
    try {
      writeJson(journalPath(this.folder, name), journal);
      const back = inverse(journal.change);
      for (const step of stepsOf(back, null)) {
        // Where nothing runs units, nothing ran.
        if (step.do === 'start' && !services.running) continue;
        onStep?.(name, step);
        await take(step, ground, { wait: options.wait });
      }
      const old = back.to === null ? null : findDeployed(this.folder, name)?.record;
      if (options.wait && services.running && old && back.start.length > 0) {
        const why = await whyUnwell(back.start, old.health, services, prober);
        if (why !== null) throw new AtomicError('failed', why);
      }
      const made = journal.verb === 'install' || journal.verb === 'update';
      const discard = made && journal.change.to !== null ? [journal.change.to] : [];
      const end: Journal = { ...journal, phase: 'finishing', discard };
      writeJson(journalPath(this.folder, name), end);
      return end;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new OutcomeError('stuck', `${name}: ${reason}; and going back failed: ${why}`, {
        hint: 'mend that; the next command goes on with it: atomic containers recover',
        cause: error,
      });
    }
  }

  /** As {@link #finish}; an error says how the change ended, and leaves the journal for the next command. */
  #clearUp(journal: Journal, title: string | undefined): void {
    try {
      this.#finish(journal, title);
    } catch (cause) {
      const { name, verb, outcome, reason } = journal;
      const left = `but not all is cleared up: ${cause instanceof Error ? cause.message : String(cause)}`;
      const options = { hint: 'mend that; the next command goes on with it: atomic containers recover', cause };
      if (outcome === 'done') throw new AtomicError('failed', `${name}: the ${verb} is done, ${left}`, options);
      throw new OutcomeError('stuck', `${name}: ${reason}; things are as before, ${left}`, options);
    }
  }

  /** What is decided, as its journal says: its papers, and what nobody needs any more. May be done again. */
  #finish(journal: Journal, title: string | undefined): void {
    const { name } = journal;
    this.#remember(journal, title);
    for (const id of journal.discard) this.#discard(name, id);
    if (journal.outcome === 'done' && journal.data.length > 0) {
      const { root } = groundOf(this.#options, name);
      dropData(journal.data, root, journal.purge);
      for (const path of byDepth(journal.change.dropFolders, -1)) dropFolder(root + path);
    }
    rmSync(journalPath(this.folder, name), { force: true });
    fsyncPath(join(this.folder, '.journal'));
  }

  #remember(journal: Journal, title: string | undefined): void {
    const { name, verb, started, identity, outcome, reason, change } = journal;
    const events = readHistory(this.folder, name);
    if (events.some(({ at }) => at === started)) return;
    const { from, to } = change;
    const data = journal.purge ? [] : journal.data;
    const folders = data.length > 0 ? change.dropFolders : [];
    const event = { at: started, verb, from, to, identity, title: title ?? '', outcome, reason, data, folders };
    writeJson(historyPath(this.folder, name), { version: 1, events: [event, ...events].slice(0, MAX_EVENTS) });
  }

  /** Deployments that need not be kept once `active` is in use: all where it is null. */
  #superfluous(name: string, active: number | null): number[] {
    const ids = (findDeployed(this.folder, name)?.deployments ?? []).map(({ id }) => id);
    if (active === null) return ids;
    const current = activeId(this.folder, name);
    const order = [active, ...(current === null ? [] : [current]), ...ids];
    const kept = [...new Set(order)].slice(0, Math.max(2, this.#options.keep ?? 3));
    return ids.filter((id) => !kept.includes(id));
  }

  /** Renamed first: a folder NAME.N is whole or not there. */
  #discard(name: string, id: number): void {
    const path = join(this.folder, `${name}.${id}`);
    if (!existsSync(path)) return;
    const gone = join(this.folder, '.stage', `gone-${randomUUID()}`);
    renameSync(path, gone);
    dropStaged(gone);
  }

  async recover(found: Journal): Promise<Recovered> {
    const cut = found.phase === 'going';
    const journal: Journal = cut ? { ...found, outcome: 'interrupted', reason: CUT_OFF } : found;
    const { name, verb, outcome, reason, change } = journal;
    const title = findDeployed(this.folder, name)?.deployments.find(({ id }) => id === change.to)?.record?.title;
    const back: Journal = { ...journal, phase: 'returning' };
    const ground = groundOf(this.#options, name);
    this.#clearUp(journal.phase === 'finishing' ? journal : await this.#goBack(back, ground, { wait: false }), title);
    return { name, verb, active: activeId(this.folder, name), outcome, reason };
  }
}
