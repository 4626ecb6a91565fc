import { chmodSync, lstatSync, mkdirSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../process.ts';
import { followInTree } from '../tree-files.ts';
import type { LayerLimits } from './limits.ts';
import type { RunningScript } from './manager.ts';
import { mountOverlay, type Overlay } from './overlay.ts';
import { type ConfinedOptions, runConfined } from './sandbox.ts';

export interface SpaceOptions {
  /** The folder to make it in, on the repository's file system; must not exist. */
  folder: string;
  /** Trees to lay it over, topmost first. */
  lowers: readonly string[];
  /** A folder that is kept from one time to the next. */
  cache: string;
  limits: LayerLimits;
  /** Looks at what a script left; throws what is wrong with it. */
  afterScript?: ((space: LayerSpace, script: RunningScript) => void) | undefined;
}

export interface SpaceRunOptions
  extends Pick<ConfinedOptions, 'discardOutput' | 'env' | 'explain' | 'onLine' | 'onScript' | 'signal'> {
  /** Let it reach the network (default: no). */
  network?: boolean | undefined;
  /** On top of the tree: [outside, inside, writable]. */
  binds?: readonly (readonly [string, string, boolean])[] | undefined;
}

/**
 * A writable view of a tree: what is written lands in `upper` (below /usr, /etc as the tree's usr/etc) and `var` (an empty
 * /var). The tree itself is never written to. Nothing of it outlives this process but files in its folder.
 */
export class LayerSpace {
  readonly folder: string;
  readonly cache: string;
  readonly limits: LayerLimits;
  readonly #afterScript: SpaceOptions['afterScript'];
  #overlay: Overlay | undefined;

  private constructor(options: SpaceOptions, overlay: Overlay) {
    this.folder = options.folder;
    this.cache = options.cache;
    this.limits = options.limits;
    this.#afterScript = options.afterScript;
    this.#overlay = overlay;
  }

  static async open(options: SpaceOptions): Promise<LayerSpace> {
    const { folder } = options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // The upper's own mode is that of the tree's root.
    for (const name of ['upper', 'ovl', 'merged', 'var', 'control', 'tmp'])
      mkdirSync(join(folder, name), { mode: 0o755 });
    chmodSync(join(folder, 'tmp'), 0o1777);
    mkdirSync(join(folder, 'var/tmp'));
    chmodSync(join(folder, 'var/tmp'), 0o1777);
    // By names without the characters that separate mount options.
    const names = options.lowers.map((path, index) => {
      symlinkSync(path, join(folder, `lower${index}`));
      return `lower${index}`;
    });
    return new LayerSpace(options, await mountOverlay(folder, names));
  }

  /** The tree as this process sees it, /etc and /var in their places; valid until {@link close}. */
  get root(): string {
    if (this.#overlay === undefined) throw new Error('the space is closed');
    return this.#overlay.root;
  }
  /** What was written to the tree. */
  get upper(): string {
    return join(this.folder, 'upper');
  }
  /** What was written to /var. */
  get var(): string {
    return join(this.folder, 'var');
  }
  /** Seen inside as /run/atomic, read-only. */
  get control(): string {
    return join(this.folder, 'control');
  }

  /** Runs a command inside, confined ({@link runConfined}). */
  async run(command: readonly string[], options: SpaceRunOptions = {}): Promise<string> {
    if (this.#overlay === undefined) throw new Error('the space is closed');
    const binds: (readonly [string, string, boolean])[] = [
      [this.control, '/run/atomic', false],
      [join(this.folder, 'tmp'), '/tmp', true],
      ...(options.binds ?? []),
    ];
    const missing = binds.map(([, inside]) => inside).filter((path) => !this.#has(path));
    try {
      return await runConfined(command, {
        ...options,
        binds,
        root: join(this.folder, 'merged'),
        namespace: this.#overlay.pid,
        network: options.network === true,
        limits: this.limits,
        disk: this.folder,
        afterScript: (script) => this.#afterScript?.(this, script),
      });
    } finally {
      for (const path of missing.reverse()) this.#removeEmpty(path);
    }
  }

  #has(path: string): boolean {
    return path.startsWith('/run/') || lstatSync(join(this.root, path), { throwIfNoEntry: false }) !== undefined;
  }

  /** What the sandbox made to mount something on. */
  #removeEmpty(path: string): void {
    // Past a link that a script put on the way it would be another's.
    if (followInTree(this.root, path) !== path) return;
    const full = join(this.root, path);
    const stat = lstatSync(full, { throwIfNoEntry: false });
    if (stat?.isFile() && stat.size === 0) unlinkSync(full);
    else if (stat?.isDirectory()) {
      try {
        rmdirSync(full);
      } catch {
        // Something else is in it by now.
      }
    }
  }

  /** Unmounts it; what was written stays in `upper` and `var`. */
  async close(): Promise<void> {
    const overlay = this.#overlay;
    this.#overlay = undefined;
    await overlay?.close();
  }
}

/** Removes a folder that scripts may have filled with anything: paths longer than the kernel takes, no permissions. */
export async function removeFolder(folder: string): Promise<void> {
  await run('rm', ['-rf', '--one-file-system', '--', folder]);
}
