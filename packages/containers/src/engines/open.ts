import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '@atomic/ostree';
import { type Address, EngineApi } from './api.ts';
import { EngineContainers } from './engine-containers.ts';
import { EngineImages, type PullGuard } from './engine-images.ts';

export interface EngineOptions {
  /** DOCKER_HOST; the default is docker's. */
  dockerHost?: string | undefined;
  /** CONTAINER_HOST; the default is podman's socket, else a service of our own for as long as it is needed. */
  podmanHost?: string | undefined;
  /** XDG_RUNTIME_DIR of somebody who is not root. */
  runtimeFolder?: string | undefined;
  /** PATH. */
  path: string;
  /** Only these; the others are not even looked for. */
  only?: readonly string[] | undefined;
  /** The one that comes first when both are there (default: docker). */
  preferred?: string | undefined;
  /** Asked before docker fetches an image; podman knows the policy itself. */
  guard?: PullGuard | undefined;
}

export interface Engine {
  kind: 'docker' | 'podman';
  /** Command line of the engine's own program, to which words are added. */
  program: readonly string[];
  containers: EngineContainers;
  images: EngineImages;
}

/** The engines of this machine, the one that is preferred first. */
export class Engines implements AsyncDisposable {
  readonly #found: Engine[];
  readonly #stop: (() => Promise<void>)[];

  constructor(found: Engine[], stop: (() => Promise<void>)[]) {
    this.#found = found;
    this.#stop = stop;
  }

  all(): readonly Engine[] {
    return this.#found;
  }

  /** The one named, else the first. Throws `not-found`. */
  pick(kind?: string): Engine {
    const engine = kind === undefined ? this.#found[0] : this.#found.find((one) => one.kind === kind);
    if (engine !== undefined) return engine;
    throw new AtomicError(
      'not-found',
      kind === undefined ? 'no container engine is running' : `${kind} is not running`,
      {
        hint:
          kind === 'podman'
            ? 'install podman'
            : 'systemctl start docker (it is for root and the group docker), or install podman',
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#stop.map((stop) => stop()));
  }
}

/** How long podman may take to offer its API, in milliseconds. */
const PODMAN_START = 10_000;

export function programPath(program: string, path: string): string | undefined {
  return path
    .split(delimiter)
    .filter((folder) => folder.startsWith('/'))
    .map((folder) => join(folder, program))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function addressOf(host: string, what: string): Address {
  const url = URL.canParse(host) ? new URL(host) : undefined;
  if (url?.protocol === 'unix:') return { socketPath: decodeURIComponent(url.pathname) };
  if ((url?.protocol === 'tcp:' || url?.protocol === 'http:') && url.hostname !== '') {
    return { host: url.hostname, port: Number(url.port || 2375) };
  }
  throw new AtomicError('unsupported', `${what} is '${host}', but must be unix:///PATH or tcp://HOST:PORT`);
}

const engine = (kind: Engine['kind'], address: Address, guard?: PullGuard): Engine => {
  const api = new EngineApi(kind, address);
  const images = new EngineImages(api, [kind], guard);
  return { kind, program: images.program, containers: new EngineContainers(api, images), images };
};

async function openDocker({ dockerHost, path, guard }: EngineOptions): Promise<Engine | undefined> {
  if (programPath('docker', path) === undefined) return undefined;
  const address = addressOf(dockerHost ?? 'unix:///var/run/docker.sock', 'DOCKER_HOST');
  if (dockerHost === undefined && 'socketPath' in address && !existsSync(address.socketPath)) return undefined;
  try {
    await new EngineApi('docker', address).call('GET', '/_ping');
  } catch (error) {
    // Not running, or not ours to use: other engines may be there. Who named it wants to know.
    if (dockerHost === undefined) return undefined;
    throw error;
  }
  return engine('docker', address, guard);
}

async function openPodman(options: EngineOptions): Promise<{ engine: Engine; stop: () => Promise<void> } | undefined> {
  const { podmanHost, runtimeFolder, path } = options;
  const program = programPath('podman', path);
  if (program === undefined) return undefined;
  const usual = runtimeFolder === undefined ? '/run/podman/podman.sock' : join(runtimeFolder, 'podman/podman.sock');
  const host = podmanHost ?? (existsSync(usual) ? `unix://${usual}` : undefined);
  if (host !== undefined) {
    const address = addressOf(host, 'CONTAINER_HOST');
    try {
      await new EngineApi('podman', address).call('GET', '/_ping');
      return { engine: engine('podman', address), stop: async () => {} };
    } catch (error) {
      if (podmanHost !== undefined) throw error;
    }
  }
  return startPodman(program);
}

/** Podman has no daemon; its API is offered by a process that ends with us. */
async function startPodman(program: string): Promise<{ engine: Engine; stop: () => Promise<void> } | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'atomic-podman-'));
  const socketPath = join(folder, 'api.sock');
  const child = spawn(program, ['system', 'service', '--time=60', `unix://${socketPath}`], {
    stdio: 'ignore',
    // Ctrl-C in a container's terminal is not for it.
    detached: true,
  });
  let ended = false;
  const gone = new Promise<void>((resolve) => {
    const end = (): void => {
      ended = true;
      resolve();
    };
    child.once('error', end).once('exit', end);
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
  const api = new EngineApi('podman', { socketPath });
  for (const deadline = Date.now() + PODMAN_START; Date.now() < deadline && !ended; await sleep(10)) {
    if (!existsSync(socketPath)) continue;
    try {
      await api.call('GET', '/_ping');
      return { engine: engine('podman', { socketPath }), stop };
    } catch {
      // Not listening yet.
    }
  }
  await stop();
  return undefined;
}

/** Finds the engines that are there and answer. Dispose of the result. */
export async function openEngines(options: EngineOptions): Promise<Engines> {
  const wanted = (kind: string): boolean => options.only === undefined || options.only.includes(kind);
  const podmanOpened = wanted('podman') ? openPodman(options) : Promise.resolve(undefined);
  // Heard below, after docker: until then a failure of podman's has no listener.
  podmanOpened.catch(() => {});
  let docker: Engine | undefined;
  try {
    docker = wanted('docker') ? await openDocker(options) : undefined;
  } catch (error) {
    await (await podmanOpened.catch(() => undefined))?.stop();
    throw error;
  }
  const podman = await podmanOpened;
  const found = [...(docker === undefined ? [] : [docker]), ...(podman === undefined ? [] : [podman.engine])];
  if (options.preferred === 'podman') found.reverse();
  return new Engines(found, podman === undefined ? [] : [podman.stop]);
}
