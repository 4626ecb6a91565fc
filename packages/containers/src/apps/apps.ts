import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { z } from 'zod';
import { checkName, type Deployed } from '../lifecycle/deployments.ts';
import { type Changed, Lifecycle, type LifecycleOptions, type Recovered } from '../lifecycle/lifecycle.ts';
import { stem } from '../quadlet/unit-names.ts';
import { type AppEngine, type AppImage, appImage, type EnsureOptions, ensureImages } from './app-engine.ts';
import { type AppPlaces, type BuildOptions, buildApp, renderApp } from './build-app.ts';
import { readBundle } from './bundle.ts';
import type { OpenBundle } from './open-bundle.ts';
import { appValue, settleValues, type ValueSources } from './values.ts';

/** What is kept of a deployment of an app. */
const details = z.object({
  bundle: z.object({ name: z.string(), version: z.string(), digest: z.string(), from: z.string() }),
  values: z.record(z.string(), appValue),
  engine: z.enum(['docker', 'podman', 'runc']),
  images: z.array(appImage.extend({ pinned: z.string() })),
  networks: z.array(z.string()),
  volumes: z.array(z.string()),
});
export type AppDetails = z.output<typeof details>;

export interface AppsOptions extends Omit<LifecycleOptions, 'title'> {
  engine: AppEngine;
  /** Units and files of a user. */
  user?: boolean | undefined;
  places: AppPlaces;
}

export interface InstallAppOptions extends BeginOptions, EnsureOptions {
  /** Another name than the bundle's: a second one beside the first. */
  name?: string | undefined;
  set?: ReadonlyMap<string, string> | undefined;
  unset?: readonly string[] | undefined;
  start?: 'as-before' | 'yes' | 'no' | undefined;
  dryRun?: boolean | undefined;
}

export interface UpdateAppOptions extends InstallAppOptions {
  /** Also to a version that was given up before. */
  retry?: boolean | undefined;
  /** Run the images that run now, where they are named the same; nothing is fetched for them. */
  reuseImages?: boolean | undefined;
}

export interface AppSummary {
  name: string;
  version: string;
  /** Deployment in use. */
  deployment: number | null;
  details: AppDetails | null;
  /** Why it cannot be read. */
  why: string | null;
}

/** Apps: bundles installed, updated, rolled back and removed as one, over deployments of a lifecycle. */
export class Apps {
  readonly #options: AppsOptions;
  readonly #lifecycle: Lifecycle;

  constructor(options: AppsOptions) {
    this.#options = options;
    this.#lifecycle = new Lifecycle({ ...options, title: 'atomic app' });
  }

  get lifecycle(): Lifecycle {
    return this.#lifecycle;
  }

  list(): AppSummary[] {
    return this.#lifecycle.list().map((one) => summary(one));
  }

  /** Throws `not-found`. */
  find(name: string): { summary: AppSummary; deployed: Deployed } {
    const deployed = this.#lifecycle.find(name);
    if (deployed !== undefined) return { summary: summary(deployed), deployed };
    throw new AtomicError('not-found', `there is no app ${name}`, { hint: 'see: atomic app list' });
  }

  /** Throws `exists` for a name in use; errors of bundles, values and images before anything changes; as Lifecycle.deploy. */
  async install(source: OpenBundle, options: InstallAppOptions = {}): Promise<Changed> {
    const name = checkName(options.name ?? source.bundle.manifest.name);
    this.#refuseTaken(name);
    return await this.#lifecycle.alone(name, options, async () => {
      this.#refuseTaken(name);
      return await this.#deploy(name, source, { set: options.set ?? new Map() }, { start: 'yes', ...options });
    });
  }

  #refuseTaken(name: string): void {
    if (!this.#lifecycle.find(name)?.record) return;
    throw new AtomicError('exists', `${name} is installed already`, {
      hint: `atomic app update ${name}, or another name: --name`,
    });
  }

  /** To a bundle's version, with the values set before and those set now. Throws as `install`. */
  async update(name: string, source: OpenBundle, options: UpdateAppOptions = {}): Promise<Changed> {
    this.find(name);
    return await this.#lifecycle.alone(name, options, async () => await this.#update(name, source, options));
  }

  /** Other values for the version that is there. Throws as `install`. */
  async configure(name: string, options: UpdateAppOptions = {}): Promise<Changed> {
    this.find(name);
    return await this.#lifecycle.alone(name, options, async () => {
      await using bundle = this.#deployedBundle(name);
      return await this.#update(name, bundle, { ...options, reuseImages: true });
    });
  }

  async #update(name: string, source: OpenBundle, options: UpdateAppOptions): Promise<Changed> {
    const { summary: now, deployed } = this.find(name);
    const { details: before } = now;
    if (before !== null && source.bundle.manifest.name !== before.bundle.name) {
      throw new AtomicError(
        'usage',
        `${name} is ${before.bundle.name}, and the bundle is ${source.bundle.manifest.name}`,
      );
    }
    const folder = join(this.#lifecycle.folder, `${name}.${deployed.active}`);
    const sources: ValueSources = {
      set: options.set ?? new Map(),
      unset: options.unset,
      saved: before?.values,
      savedSecret: (secret) => {
        const path = join(folder, 'secrets', secret);
        return existsSync(path) ? readFileSync(path) : undefined;
      },
    };
    return await this.#deploy(name, source, sources, options);
  }

  /** The bundle as it was deployed, to change values without its author. */
  #deployedBundle(name: string): OpenBundle {
    const { summary: now, deployed } = this.find(name);
    const folder = join(this.#lifecycle.folder, `${name}.${deployed.active}`, 'bundle');
    const bundle = readBundle(folder);
    return { bundle, folder, from: now.details?.bundle.from ?? folder, [Symbol.asyncDispose]: async () => {} };
  }

  /** To the deployment before, or the one named, with the very images it ran. */
  async rollback(name: string, options: BeginOptions & { to?: number; dryRun?: boolean } = {}): Promise<Changed> {
    this.find(name);
    return await this.#lifecycle.alone(name, options, async () => {
      await this.#pinAgain(name);
      return await this.#lifecycle.rollback(name, options);
    });
  }

  async #pinAgain(name: string): Promise<void> {
    const { deployed } = this.find(name);
    for (const { record } of deployed.deployments) {
      for (const { pinned, id, digest } of readDetails(record?.details)?.images ?? []) {
        if ((await this.#options.engine.find(pinned)) !== undefined) continue;
        // Somebody cleaned up: what can be had again by its digest is, so that going back needs no network later.
        const again =
          (await this.#options.engine.find(id)) ?? (digest === null ? undefined : await this.#pulled(digest));
        if (again !== undefined) await this.#options.engine.tag(again.id, pinned);
      }
    }
  }

  async #pulled(digest: string) {
    await this.#options.engine.pull(digest).catch(() => {});
    return await this.#options.engine.find(digest);
  }

  /**
   * Removes an app with its networks and the names of its images; with `purge` its volumes too. Files that were changed
   * on the host stay, and are named in the notes.
   */
  async uninstall(name: string, options: BeginOptions & { purge?: boolean; dryRun?: boolean } = {}): Promise<Changed> {
    this.find(name);
    return await this.#lifecycle.alone(name, options, async () => await this.#uninstall(name, options));
  }

  async #uninstall(name: string, options: BeginOptions & { purge?: boolean; dryRun?: boolean }): Promise<Changed> {
    const { deployed } = this.find(name);
    const all = deployed.deployments.flatMap(({ record }) => readDetails(record?.details) ?? []);
    const changed = await this.#lifecycle.remove(name, options);
    const volumes = [...new Set(all.flatMap((one) => one.volumes))];
    if (options.dryRun !== true) {
      const { engine } = this.#options;
      for (const network of new Set(all.flatMap((one) => one.networks))) await engine.forget('network', network);
      if (options.purge === true) for (const volume of volumes) await engine.forget('volume', volume);
      await this.#forgetPins(pins(all), new Set());
    }
    const kept = volumes.length > 0 && options.purge !== true;
    const note = `the data in ${volumes.join(', ')} is kept: ${this.#options.engine.volumeRemoval(volumes)}`;
    return kept ? { ...changed, notes: [...changed.notes, note] } : changed;
  }

  /** Ends what was cut off. */
  recover(options: BeginOptions = {}): Promise<Recovered[]> {
    return this.#lifecycle.recover(options);
  }

  async #forgetPins(before: ReadonlySet<string>, after: ReadonlySet<string>): Promise<void> {
    for (const pin of before) if (!after.has(pin)) await this.#options.engine.forget('image', pin);
  }

  /** Images of the deployment in use, as they run. */
  #reusable(name: string): Map<string, AppImage> {
    const kept = readDetails(this.#lifecycle.find(name)?.record?.details)?.images ?? [];
    return new Map(kept.map(({ name: image, id, digest }) => [image, { name: image, id, digest }]));
  }

  #pinsOf(name: string): Set<string> {
    const all = this.#lifecycle.find(name)?.deployments ?? [];
    return pins(all.flatMap(({ record }) => readDetails(record?.details) ?? []));
  }

  /** Holding the name: images get names before the record that keeps them is there. */
  async #deploy(name: string, source: OpenBundle, sources: ValueSources, options: UpdateAppOptions): Promise<Changed> {
    const { engine, user = false, places } = this.#options;
    const { bundle } = source;
    const values = settleValues(bundle.manifest, sources);
    const build: BuildOptions = { app: name, bundle, values, engine, user, places, sourceFolder: '' };
    const rendered = renderApp(build);
    // All images are there before anything is touched: a registry that is away must not take the app along.
    const reused = options.reuseImages === true ? this.#reusable(name) : new Map<string, AppImage>();
    const wanted = rendered.images.filter((image) => !reused.has(image));
    const there = new Set<string>();
    for (const image of wanted) if ((await engine.find(image)) !== undefined) there.add(image);
    if (options.dryRun !== true && wanted.length > 0) {
      for (const archive of bundle.archives) await engine.load(join(source.folder, archive), options.signal);
    }
    const fetched =
      options.dryRun === true ? [] : await ensureImages(wanted, engine, { pull: options.pull, signal: options.signal });
    const found = [...fetched, ...rendered.images.flatMap((image) => reused.get(image) ?? [])];
    const images = found.map((image) => ({ ...image, pinned: pinOf(name, image) }));
    const pinned = new Map(images.map((image) => [image.name, image.pinned]));
    const identity = identityOf(bundle.digest, values.values, images, engine.kind);
    const given = this.#lifecycle.gaveUp(name, identity);
    if (given !== null && options.retry !== true) {
      throw new AtomicError('failed', `${name} ${bundle.manifest.version} was given up before: ${given.reason}`, {
        hint: 'try it again with --retry',
      });
    }
    for (const image of images) await engine.tag(image.id, image.pinned);
    // What was fetched for the app is known by the app's own name only, and goes with it.
    for (const { name: image } of fetched) if (!there.has(image)) await engine.forget('image', image);
    const before = this.#pinsOf(name);
    try {
      return await this.#lifecycle.deploy(name, {
        ...options,
        kind: 'app',
        identity,
        title: `${bundle.manifest.name} ${bundle.manifest.version}`,
        start: options.start ?? 'as-before',
        stage: async ({ folder, place }) => {
          const built = buildApp({ ...build, sourceFolder: join(place, 'bundle') }, rendered, pinned);
          const files: { path: string; source: string; managed: boolean }[] = [];
          const put = (path: string, content: string | Buffer, mode: number, managed: boolean): void => {
            write(join(folder, 'host', path), content, mode);
            files.push({ path, source: `host${path}`, managed });
          };
          for (const [path, { content, executable }] of bundle.files) {
            write(join(folder, 'bundle', path), content, executable ? 0o755 : 0o644);
          }
          for (const [unit, text] of built.units) put(`${places.units}/${unit}`, text, 0o644, true);
          for (const [path, { content, executable }] of rendered.config) {
            put(`${places.config}/${name}/${path}`, content, executable ? 0o755 : 0o644, false);
          }
          for (const [secret, content] of values.secrets) {
            write(join(folder, 'secrets', secret), content, 0o600);
            put(`${places.config}/${name}/secrets/${secret}`, content, 0o600, true);
          }
          const kept: AppDetails = {
            bundle: {
              name: bundle.manifest.name,
              version: bundle.manifest.version,
              digest: bundle.digest,
              from: source.from,
            },
            values: { ...values.values },
            engine: engine.kind,
            images,
            networks: built.networks,
            volumes: built.volumes,
          };
          return { files, units: built.deployed, health: built.health, details: kept, notes: built.notes };
        },
      });
    } finally {
      // Names for versions that are gone, or that did not stay.
      await this.#forgetPins(new Set([...before, ...pinned.values()]), this.#pinsOf(name));
    }
  }
}

function write(path: string, content: string | Buffer, mode: number): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode });
  // Whatever the umask says.
  chmodSync(path, mode);
}

const readDetails = (kept: unknown): AppDetails | null => details.safeParse(kept).data ?? null;

const pins = (all: readonly AppDetails[]): Set<string> =>
  new Set(all.flatMap(({ images }) => images.map(({ pinned }) => pinned)));

/** A name of an app's own for the image it runs: it does not move, and keeps the image from being cleaned up. */
function pinOf(app: string, { name, id }: { name: string; id: string }): string {
  const last = (name.split('@')[0] ?? name).split('/').at(-1) ?? '';
  const word =
    stem(last.split(':')[0] ?? '')
      .replaceAll(/[^a-z0-9-]/g, '-')
      .replaceAll(/^-+|-+$/g, '') || 'image';
  return `localhost/atomic-app/${app.toLowerCase()}/${word}:${id.replace(/^sha256:/, '').slice(0, 16)}`;
}

function identityOf(
  digest: string,
  values: unknown,
  images: readonly { name: string; id: string }[],
  engine: string,
): string {
  const parts = [digest, values, images.map(({ name, id }) => [name, id]), engine];
  return `sha256:${createHash('sha256').update(JSON.stringify(parts)).digest('hex')}`;
}

function summary({ name, active, record, deployments }: Deployed): AppSummary {
  const kept = readDetails(record?.details);
  const why = deployments.find(({ id }) => id === active)?.why ?? null;
  return {
    name,
    version: kept?.bundle.version ?? '?',
    deployment: active,
    details: kept,
    why: kept === null ? (why ?? 'its record is not that of an app') : null,
  };
}
