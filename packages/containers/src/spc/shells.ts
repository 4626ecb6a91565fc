import { AtomicError } from '@atomic/ostree';
import { nameOf } from '../engines/engine-containers.ts';
import type { Engine } from '../engines/open.ts';
import type { EngineContainer } from '../engines/schema.ts';
import {
  createWords,
  parseDefinition,
  SHELL_DEFINITION_LABEL,
  SHELL_LABEL,
  SHELL_USER_LABEL,
  type ShellDefinition,
  type ShellUser,
  setupScript,
  shellContainer,
} from './definition.ts';

export interface Shell {
  name: string;
  container: string;
  image: string;
  state: string;
  /** What it was made from; undefined when that cannot be read. */
  definition: ShellDefinition | undefined;
}

function definitionOf({ Config: { Labels } }: EngineContainer): ShellDefinition | undefined {
  const text = Labels[SHELL_DEFINITION_LABEL];
  if (text === undefined) return undefined;
  try {
    return parseDefinition(Buffer.from(text, 'base64').toString('utf8'), 'the definition in the container');
  } catch {
    return undefined;
  }
}

/** The shells of one user in one engine. */
export class Shells {
  readonly engine: Engine;
  readonly user: ShellUser;

  constructor(engine: Engine, user: ShellUser) {
    this.engine = engine;
    this.user = user;
  }

  async list(): Promise<Shell[]> {
    const { containers } = this.engine;
    const all = await Promise.all((await containers.list()).map(({ id }) => containers.find(id)));
    return all.flatMap((one) => {
      const name = one?.Config.Labels[SHELL_LABEL];
      if (one === undefined || name === undefined || one.Config.Labels[SHELL_USER_LABEL] !== String(this.user.uid))
        return [];
      const { Image: image } = one.Config;
      return [{ name, container: nameOf(one), image, state: one.State.Status, definition: definitionOf(one) }];
    });
  }

  async find(name: string): Promise<Shell | undefined> {
    return (await this.list()).find((one) => one.name === name);
  }

  async need(name: string): Promise<Shell> {
    const found = await this.find(name);
    if (found !== undefined) return found;
    throw new AtomicError('not-found', `there is no shell '${name}'`, { hint: 'make it: atomic shell create FILE' });
  }

  /** The commands that make a shell, in their order. */
  plan(definition: ShellDefinition): string[][] {
    const { program } = this.engine;
    const container = shellContainer(this.user, definition.name);
    return [
      createWords(program, this.user, definition),
      [...program, 'start', container],
      [...program, 'exec', container, '/bin/sh', '-c', setupScript(this.user, definition)],
    ];
  }

  /** Makes a shell; nothing is left of one that could not be made whole. */
  async create(definition: ShellDefinition, run: (words: string[]) => Promise<number>): Promise<void> {
    const container = shellContainer(this.user, definition.name);
    if ((await this.engine.containers.find(container)) !== undefined) {
      throw new AtomicError('exists', `there is a shell '${definition.name}' already`, {
        hint: `enter it: atomic shell enter ${definition.name}, or make it anew: atomic shell rebase ${definition.name}`,
      });
    }
    for (const words of this.plan(definition)) {
      const status = await run(words);
      if (status === 0) continue;
      await this.engine.containers.delete(container, { force: true }).catch(() => {});
      throw new AtomicError(
        'failed',
        `the shell '${definition.name}' could not be made: its setup ended with status ${status}`,
      );
    }
  }

  /**
   * Makes a shell anew, from its definition or another. The old one waits aside and comes back when the new one cannot
   * be made.
   */
  async rebase(shell: Shell, definition: ShellDefinition, run: (words: string[]) => Promise<number>): Promise<void> {
    const { program, containers } = this.engine;
    const aside = `${shell.container}-old`;
    const renamed = async (from: string, to: string): Promise<void> => {
      if ((await run([...program, 'rename', from, to])) !== 0) {
        throw new AtomicError('failed', `${from} cannot be renamed to ${to}`);
      }
    };
    if ((await containers.find(aside)) !== undefined) await containers.delete(aside, { force: true });
    if (shell.state === 'running') await containers.stop(shell.container);
    await renamed(shell.container, aside);
    try {
      await this.create({ ...definition, name: shell.name }, run);
    } catch (error) {
      await renamed(aside, shell.container);
      throw error;
    }
    await containers.delete(aside, { force: true });
  }

  /** The command line of a login in it, with its container started. */
  async enterWords(
    shell: Shell,
    argv: readonly string[],
    options: { tty: boolean; folder: string; root: boolean },
  ): Promise<string[]> {
    const { program, containers } = this.engine;
    if (shell.state !== 'running') await containers.start(shell.container);
    const { uid, gid, home } = this.user;
    const isHome = options.folder === home || options.folder.startsWith(`${home}/`);
    const there =
      isHome && shell.definition?.home !== false
        ? options.folder
        : shell.definition?.host === false
          ? '/'
          : `/host${options.folder}`;
    return [
      ...program,
      'exec',
      ...(options.tty ? ['-t'] : []),
      '-i',
      ...(options.root ? [] : ['-u', `${uid}:${gid}`]),
      '-w',
      there,
      shell.container,
      ...(argv.length > 0 ? argv : [shell.definition?.shell ?? '/bin/sh']),
    ];
  }

  async remove(shell: Shell): Promise<void> {
    await this.engine.containers.delete(shell.container, { force: true });
  }
}
