import type { ContainerBackend, ContainerSummary, Engines, ImageBackend, ImageDetails } from '@atomic/containers';
import type { Context } from '../context.ts';
import { type Places, places } from './places.ts';
import { reachOf, storeImages } from './store.ts';
import { openSystem } from './system.ts';

/** Everything on this machine that has containers or images. */
export interface Backends extends AsyncDisposable {
  engines: Engines;
  containers: readonly ContainerBackend[];
  images: readonly ImageBackend[];
}

/** Names `--storage` takes, the original's among them. */
const KINDS: Record<string, string> = { 'containers-storage': 'podman', ostree: 'system' };

/** Opens the engines, and what else has containers and images; with `storage` only that one. */
export async function openBackends(storage?: string, at: Places = places()): Promise<Backends> {
  const { openEngines, quadletBackend, readConfiguration } = await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  const { default_docker: preferred } = readConfiguration(at.configuration);
  const kind = storage === undefined ? undefined : (KINDS[storage] ?? storage);
  if (kind !== undefined && !['docker', 'podman', 'system', 'quadlet', 'atomic'].includes(kind)) {
    throw new AtomicError('usage', `--storage must be docker, podman, system, quadlet or atomic, but is '${storage}'`);
  }
  const own = kind === 'docker' || kind === 'podman' ? null : await openSystem({}, at);
  const engines = await openEngines({
    dockerHost: process.env['DOCKER_HOST'] || undefined,
    podmanHost: process.env['CONTAINER_HOST'] || undefined,
    runtimeFolder: at.runtime,
    path: process.env['PATH'] ?? '',
    only: kind === undefined ? undefined : [kind],
    preferred,
    guard: async (image, signal) => {
      const { guardPull } = await import('@atomic/containers');
      return guardPull(image, { ...(await reachOf({})), signal });
    },
  });
  return {
    engines,
    containers: [
      ...(own === null || kind === 'quadlet' ? [] : [own.backend]),
      ...(own === null || kind === 'system' ? [] : [quadletBackend({ state: at.state, services: own.services })]),
      ...engines.all().map((one) => one.containers),
    ],
    images: [...(own === null ? [] : [await storeImages(at)]), ...engines.all().map((one) => one.images)],
    [Symbol.asyncDispose]: () => engines[Symbol.asyncDispose](),
  };
}

export interface FoundContainer {
  backend: ContainerBackend;
  container: ContainerSummary;
}

async function allContainers(backends: Backends): Promise<FoundContainer[]> {
  const all = await Promise.all(
    backends.containers.map(async (backend) =>
      (await backend.list()).map((container): FoundContainer => ({ backend, container })),
    ),
  );
  return all.flat();
}

/** Throws `usage` unless either containers are named or all are meant. */
export async function namesOrAll(names: readonly string[], all: boolean | undefined, what: string): Promise<void> {
  if ((names.length === 0) === (all === true)) return;
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `name the containers to ${what}, or say --all`);
}

/** The containers of these names; without names all there are. Throws as {@link findContainer}. */
export async function chooseContainers(
  backends: Backends,
  names: readonly string[],
  others?: (name: string) => readonly string[],
): Promise<FoundContainer[]> {
  if (names.length === 0) return await allContainers(backends);
  return await Promise.all(names.map((name) => findContainer(backends, name, others?.(name))));
}

/**
 * The container of that name or id; else one that a cut left under one of the `others`, as if it had its name. Throws
 * `not-found`, and `usage` when several backends have one.
 */
export async function findContainer(
  backends: Backends,
  name: string,
  others: readonly string[] = [],
): Promise<FoundContainer> {
  const { AtomicError } = await import('@atomic/ostree');
  const all = await allContainers(backends);
  const called = (wanted: string): FoundContainer[] => all.filter(({ container }) => container.name === wanted);
  const named = [name, ...others].map(called).find((some) => some.length > 0);
  const found =
    named?.map(({ backend, container }) => ({ backend, container: { ...container, name } })) ??
    all.filter(({ container: { id } }) => name.length >= 4 && id.startsWith(name));
  const [first] = found;
  if (first === undefined) {
    throw new AtomicError('not-found', `there is no container '${name}'`, {
      hint: 'see: atomic containers list --all',
    });
  }
  if (found.length === 1) return first;
  throw new AtomicError('usage', `'${name}' is in ${found.map(({ backend }) => backend.name).join(' and ')}`, {
    hint: `say which: --storage=${first.backend.name}`,
  });
}

export interface FoundImage {
  backend: ImageBackend;
  image: ImageDetails;
}

/** Every backend that has the image. Throws `not-found` when none has. */
export async function findImages(backends: Backends, name: string): Promise<FoundImage[]> {
  const { AtomicError } = await import('@atomic/ostree');
  const all = await Promise.all(
    backends.images.map(async (backend): Promise<FoundImage[]> => {
      const image = await backend.find(name);
      return image === undefined ? [] : [{ backend, image }];
    }),
  );
  const found = all.flat();
  if (found.length > 0) return found;
  throw new AtomicError('not-found', `there is no image '${name}'`, { hint: 'see: atomic images list' });
}

/** Runs a backend's command on the terminal. */
export async function onTerminal(ctx: Context, words: readonly string[]): Promise<number> {
  const { runOnTerminal } = await import('@atomic/containers');
  ctx.signal.throwIfAborted();
  return runOnTerminal(words);
}
