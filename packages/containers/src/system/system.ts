import { createHash, randomUUID } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AtomicError, type BeginOptions, type Progress, runProgram } from '@atomic/ostree';
import type { ImageStore } from '../images/image-store.ts';
import { type StoredImage, storedConfig } from '../images/stored-image.ts';
import { type Changed, checkName, type Deployed, type DeploymentRecord, type Lifecycle } from '../lifecycle/index.ts';
import { profileName, unloadProfile } from './harden.ts';
import { healthOfImage } from './image-health.ts';
import { findRuntime } from './runtimes.ts';
import { parseDetails, type SystemDetails, type SystemHost, settingsOf, stageSystem } from './stage.ts';
import { checkSettable } from './values.ts';

export interface SystemContainersOptions {
  host: SystemHost;
  lifecycle: Lifecycle;
  /** Opened when it is needed. */
  store: () => Promise<ImageStore>;
  /** Gets an image into the store: if it is not there, or the newest of that name. */
  obtain: (name: string, options: ObtainOptions) => Promise<StoredImage>;
  /** The runtime to use where none is named. */
  runtime?: string | undefined;
}

export interface ObtainOptions {
  newest: boolean;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

interface ChangeOptions extends BeginOptions {
  set?: Readonly<Record<string, string>> | undefined;
  dryRun?: boolean | undefined;
  progress?: Progress | undefined;
}

export interface InstallOptions extends ChangeOptions {
  name?: string | undefined;
  runtime?: string | undefined;
  /** Name, or a folder, of a container whose rootfs it is to have. */
  rootfs?: string | undefined;
  /** Start it as well. */
  start?: boolean | undefined;
}

export interface UpdateOptions extends ChangeOptions {
  /** Another image from now on. */
  rebase?: string | undefined;
  /** Leave it as it is where the new version was tried before and was not well. */
  onlyUntried?: boolean | undefined;
}

export const KIND = 'system';

/** The name of a container of an image that is given none: the last part of its path. */
export function defaultName(image: string): string {
  const path = image.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  return path.slice(path.lastIndexOf('/') + 1).replace(/^.*:/, '');
}

/** What makes two deployments of a name the same. */
function identityOf(digest: string, settings: Readonly<Record<string, string>>, runtime: string): string {
  const sorted = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${digest} ${createHash('sha256')
    .update(JSON.stringify([sorted, runtime]))
    .digest('hex')
    .slice(0, 16)}`;
}

/** Containers that systemd runs by runc or crun, each from a tree of its own, without any engine. */
export class SystemContainers {
  readonly lifecycle: Lifecycle;
  readonly host: SystemHost;
  readonly #options: SystemContainersOptions;

  constructor(options: SystemContainersOptions) {
    this.#options = options;
    this.lifecycle = options.lifecycle;
    this.host = options.host;
  }

  /** Installs an image, for systemd to start from now on. What is there already under the name is left as it is. */
  async install(imageName: string, options: InstallOptions = {}): Promise<Changed> {
    const { set = {}, rootfs } = options;
    checkSettable(set);
    const name = checkName(options.name ?? defaultName(imageName));
    const there = this.lifecycle.find(name);
    if (there?.active !== undefined && there.active !== null) {
      return {
        outcome: 'unchanged',
        name,
        from: there.active,
        to: there.active,
        steps: [],
        notes: [],
        record: there.record,
      };
    }
    const runtime = findRuntime(options.runtime ?? this.#options.runtime);
    const shared = rootfs === undefined ? undefined : this.#rootfsOf(rootfs);
    const image = await this.#options.obtain(imageName, { newest: false, ...options });
    return await this.#deploy({ name, image, runtime, set, before: null, shared, options });
  }

  /** Deploys the newest image, with the values it has and those given, and goes back to the old one if it is not well. */
  async update(name: string, options: UpdateOptions = {}): Promise<Changed> {
    const { record, details } = this.need(name);
    checkSettable(options.set ?? {});
    const set = { ...settingsOf(details), ...options.set };
    const image = await this.#options.obtain(options.rebase ?? details.image.name, { newest: true, ...options });
    const identity = identityOf(image.digest, set, details.runtime);
    const unchanged = { outcome: 'unchanged' as const, name, from: record.id, to: record.id, steps: [], record };
    if (identity === record.identity) return { ...unchanged, notes: [] };
    const before = options.onlyUntried === true ? this.lifecycle.gaveUp(name, identity) : null;
    if (before !== null) {
      return { ...unchanged, notes: [`the newest was tried at ${before.at} and not well: ${before.reason}`] };
    }
    return await this.#deploy({
      name,
      image,
      runtime: details.runtime,
      set,
      before: details,
      shared: undefined,
      options,
    });
  }

  async rollback(name: string, options: BeginOptions & { to?: number; dryRun?: boolean } = {}): Promise<Changed> {
    this.#known(name);
    const changed = await this.lifecycle.rollback(name, options);
    if (changed.outcome === 'done') await this.#keepImages(name);
    return changed;
  }

  /** Stops and removes it with all its files; those that were changed here stay, and so does its data without `purge`. */
  async uninstall(name: string, options: BeginOptions & { purge?: boolean; dryRun?: boolean } = {}): Promise<Changed> {
    this.#known(name);
    const changed = await this.lifecycle.remove(name, options);
    if (changed.outcome === 'done') {
      await this.#keepImages(name);
      if (this.host.user === null && this.host.security.apparmor?.has(profileName(name))) unloadProfile(name);
    }
    return changed;
  }

  list(): Deployed[] {
    return this.lifecycle.list();
  }

  /** What is in use under a name. Throws `not-found`, `corrupt`. */
  need(name: string): { record: DeploymentRecord; details: SystemDetails; folder: string } {
    const there = this.#known(name);
    const details = there.record === null ? null : parseDetails(there.record.details);
    if (there.record === null || details === null) {
      throw new AtomicError('corrupt', `${name} is damaged: its record cannot be read`, {
        hint: `atomic containers rollback ${name}, or atomic uninstall ${name}`,
      });
    }
    return { record: there.record, details, folder: join(this.lifecycle.folder, `${name}.${there.record.id}`) };
  }

  #known(name: string): Deployed {
    const there = this.lifecycle.find(name);
    if (there !== undefined) return there;
    throw new AtomicError(
      'not-found',
      `there is no ${this.host.user === null ? 'system' : 'user'} container '${name}'`,
      {
        hint: 'see what there is: atomic containers list --all',
      },
    );
  }

  async #deploy(task: {
    name: string;
    image: StoredImage;
    runtime: string;
    set: Readonly<Record<string, string>>;
    before: SystemDetails | null;
    shared: { name: string; rootfs: string } | undefined;
    options: InstallOptions;
  }): Promise<Changed> {
    const { name, image, runtime, set, before, shared, options } = task;
    const store = await this.#options.store();
    const config = storedConfig(store.repo, image);
    const changed = await this.lifecycle.deploy(name, {
      kind: KIND,
      identity: identityOf(image.digest, set, runtime),
      title: image.name,
      start: options.start === true ? 'yes' : 'as-before',
      fresh: before === null,
      dryRun: options.dryRun,
      wait: options.wait,
      signal: options.signal,
      onWait: options.onWait,
      stage: async ({ folder, place, id }) => {
        // Before the deployment is there: what is deployed keeps its image, whatever comes between.
        store.repo.setRef(`${this.#refs(name)}${id}`, image.commit);
        const rootfs = join(folder, 'rootfs');
        const { signal, progress } = options;
        if (shared === undefined) {
          await store.checkout(image, rootfs, { user: this.host.user !== null, signal, progress });
        } else {
          // Hard links of its own: the other container may be updated or removed.
          await runProgram('cp', ['-al', '--', shared.rootfs, rootfs], { signal });
        }
        return stageSystem(this.host, {
          name,
          place,
          folder,
          runtime,
          image: {
            name: image.name,
            digest: image.digest,
            args: [...(config.config?.Entrypoint ?? []), ...(config.config?.Cmd ?? [])],
            env: config.config?.Env ?? [],
            health: healthOfImage(config),
          },
          set,
          uuid: before?.uuid ?? randomUUID(),
          before,
          rootfsOf: shared?.name ?? null,
        });
      },
    });
    if (changed.outcome === 'done') await this.#keepImages(name);
    return changed;
  }

  /** Where the refs are that keep images from being pruned while one of their deployments is there, by its number. */
  #refs(name: string): string {
    return `container/deployment/${this.host.user === null ? 'system' : 'user'}/${name}/`;
  }

  /** Drops those of deployments that are gone, or were given up. */
  async #keepImages(name: string): Promise<void> {
    const { repo } = await this.#options.store();
    const prefix = this.#refs(name);
    const ids = new Set((this.lifecycle.find(name)?.deployments ?? []).map(({ id }) => `${prefix}${id}`));
    for (const ref of repo.listRefs().keys()) if (ref.startsWith(prefix) && !ids.has(ref)) repo.setRef(ref, null);
  }

  #rootfsOf(other: string): { name: string; rootfs: string } {
    if (!other.includes('/')) {
      const { folder } = this.need(other);
      return { name: other, rootfs: join(folder, 'rootfs') };
    }
    const path = resolve(other);
    const rootfs = existsSync(join(path, 'rootfs')) ? join(path, 'rootfs') : path;
    if (lstatSync(rootfs, { throwIfNoEntry: false })?.isDirectory() === true) return { name: other, rootfs };
    throw new AtomicError('not-found', `${other} has no rootfs`, {
      hint: 'name an installed container, or its folder',
    });
  }

  /** A folder for what is written while something runs. */
  scratch(): string {
    const path = join(this.lifecycle.folder, '.run');
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }
}
