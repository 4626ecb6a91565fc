import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '@atomic/ostree';
import type {
  Confinement,
  ContainerBackend,
  ContainerProcess,
  ContainerState,
  ContainerSummary,
  OperationOptions,
  UpdateOptions,
  UpdateReport,
} from '../backends/backend.ts';
import { quoteWords } from '../labels/words.ts';
import type { EngineApi } from './api.ts';
import { engineConfinement } from './confinement.ts';
import type { EngineImages } from './engine-images.ts';
import { containerDetails, containerRow, type EngineContainer, infoAnswer, topAnswer } from './schema.ts';

const STATES: readonly ContainerState[] = ['created', 'running', 'paused', 'restarting', 'exited'];

const stateOf = (text: string): ContainerState =>
  STATES.find((state) => state === text) ?? (text === 'dead' ? 'failed' : text === 'stopped' ? 'exited' : 'unknown');

/** How long docker may take to delete what it began to delete by itself; milliseconds. */
const REMOVAL = 10_000;

/** The containers of docker or podman. */
export class EngineContainers implements ContainerBackend {
  readonly name: string;
  readonly program: readonly string[];
  readonly #api: EngineApi;
  readonly #images: EngineImages;
  #runtime: Promise<string> | undefined;

  constructor(api: EngineApi, images: EngineImages) {
    this.name = api.kind;
    this.program = images.program;
    this.#api = api;
    this.#images = images;
  }

  async list({ signal }: OperationOptions = {}): Promise<ContainerSummary[]> {
    const rows = await this.#api.json('GET', '/containers/json', containerRow.array(), {
      query: { all: true },
      signal,
    });
    const found = await Promise.all(rows.map(({ Id }) => this.find(Id)));
    return Promise.all(found.flatMap((one) => (one === undefined ? [] : [this.#summary(one)])));
  }

  /** By name or the beginning of its id; undefined when it is not there. */
  async find(container: string): Promise<EngineContainer | undefined> {
    try {
      return await this.#api.json('GET', `/containers/${encodeURIComponent(container)}/json`, containerDetails);
    } catch (error) {
      if (error instanceof AtomicError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  async #need(container: string): Promise<EngineContainer> {
    const found = await this.find(container);
    if (found !== undefined) return found;
    throw new AtomicError('not-found', `${this.name} has no container '${container}'`);
  }

  async #summary(one: EngineContainer): Promise<ContainerSummary> {
    // Podman names its own runtime by its kind only.
    const runtime = one.HostConfig.Runtime;
    return {
      id: one.Id,
      name: nameOf(one),
      image: one.Config.Image,
      imageId: one.Image.startsWith('sha256:') ? one.Image : `sha256:${one.Image}`,
      command: quoteWords([one.Path, ...one.Args]),
      created: new Date(one.Created).toISOString(),
      state: stateOf(one.State.Status),
      backend: this.name,
      runtime: runtime === '' || runtime === 'oci' ? await this.#defaultRuntime() : runtime,
    };
  }

  #defaultRuntime(): Promise<string> {
    this.#runtime ??= this.#api.json('GET', '/info', infoAnswer).then(({ DefaultRuntime }) => DefaultRuntime);
    return this.#runtime;
  }

  start(container: string, { signal }: OperationOptions = {}): Promise<void> {
    return this.#api.call('POST', `${path(container)}/start`, { signal });
  }

  stop(container: string, options: OperationOptions & { timeoutSeconds?: number } = {}): Promise<void> {
    const { signal, timeoutSeconds } = options;
    return this.#api.call('POST', `${path(container)}/stop`, { query: { t: timeoutSeconds }, signal });
  }

  async delete(container: string, options: OperationOptions & { force?: boolean } = {}): Promise<void> {
    const { force = false, signal } = options;
    const one = await this.#need(container);
    if (one.State.Running && !force) {
      throw new AtomicError('locked', `the container '${nameOf(one)}' is running`, {
        hint: 'stop it first, or use --force',
      });
    }
    try {
      await this.#api.call('DELETE', path(one.Id), { query: { force, v: true }, signal });
    } catch (error) {
      if (!(error instanceof AtomicError) || error.code !== 'locked') throw error;
      // Docker deletes it already, as it was made with --rm; what comes after us wants it gone.
      for (const end = Date.now() + REMOVAL; (await this.find(one.Id)) !== undefined; ) {
        if (Date.now() >= end) throw error;
        await sleep(50, undefined, { signal });
      }
    }
  }

  async logsCommand(
    container: string,
    options: { follow?: boolean; tail?: number; since?: string },
  ): Promise<string[]> {
    const { follow, tail, since } = options;
    const words = [...this.program, 'logs'];
    if (follow === true) words.push('-f');
    if (tail !== undefined) words.push('--tail', String(tail));
    if (since !== undefined) words.push('--since', since);
    return [...words, nameOf(await this.#need(container))];
  }

  async execCommand(
    container: string,
    argv: readonly string[],
    options: { tty?: boolean; interactive?: boolean; user?: string; env?: readonly string[]; workdir?: string },
  ): Promise<string[]> {
    const one = await this.#need(container);
    if (!one.State.Running) {
      throw new AtomicError('invalid', `the container '${nameOf(one)}' is not running`, {
        hint: `start it: atomic run --name ${nameOf(one)} ${one.Config.Image}`,
      });
    }
    const words = [...this.program, 'exec'];
    if (options.tty === true) words.push('-t');
    if (options.interactive === true) words.push('-i');
    if (options.user !== undefined) words.push('-u', options.user);
    if (options.workdir !== undefined) words.push('-w', options.workdir);
    for (const variable of options.env ?? []) words.push('-e', variable);
    return [...words, nameOf(one), ...argv];
  }

  async processes(container: string, columns: readonly string[]): Promise<ContainerProcess[]> {
    // Podman counts processes as the container does unless asked for the host's number.
    const ps = this.name === 'podman' ? 'hpid' : '-eo pid';
    const answer = await this.#api.json('GET', `${path(container)}/top`, topAnswer, { query: { ps_args: ps } });
    const { hostProcesses } = await import('./host-processes.ts');
    return hostProcesses(
      (answer.Processes ?? []).map(([pid]) => Number(pid)),
      columns,
    );
  }

  async inspect(container: string): Promise<Record<string, unknown>> {
    return this.#need(container);
  }

  async confinement(container: string): Promise<Confinement[]> {
    return engineConfinement(await this.#need(container));
  }

  async update(container: string, options: UpdateOptions): Promise<UpdateReport> {
    const { updateContainer } = await import('./recreate.ts');
    return updateContainer({ api: this.#api, containers: this, images: this.#images }, container, options);
  }

  async rollback(container: string, options: OperationOptions = {}): Promise<UpdateReport> {
    const { rollbackContainer } = await import('./recreate.ts');
    return rollbackContainer({ api: this.#api, containers: this, images: this.#images }, container, options);
  }

  async rootFolder(container: string): Promise<string | undefined> {
    const { State } = await this.#need(container);
    return State.Running && State.Pid > 0 ? `/proc/${State.Pid}/root` : undefined;
  }
}

const path = (container: string): string => `/containers/${encodeURIComponent(container)}`;

export const nameOf = (one: EngineContainer): string => one.Name.replace(/^\//, '');
