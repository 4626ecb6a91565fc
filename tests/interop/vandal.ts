import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoCode, lremovexattr, lsetxattr } from '@atomic/linux';
import type { Random } from '../fuzz/mutate.ts';

const NAMES = ['a', 'b', 'c', 'usr', 'lib', 'share', 'x.conf', 'data', 'ü', 'long-'.repeat(20)] as const;
const XATTRS = ['user.note', 'trusted.mark', 'user.overlay.opaque', 'user.overlay.x', 'security.capability'] as const;
/** What the kernel says to operations that make no sense where they are tried. */
const REFUSALS = new Set(
  'EEXIST ENOTEMPTY EISDIR ENOTDIR EINVAL EXDEV ENOENT EPERM ENODATA EBUSY EOPNOTSUPP ENOTSUP ELOOP EMLINK ENAMETOOLONG'.split(
    ' ',
  ),
);

/** Where something is done. */
interface Scene {
  random: Random;
  root: string;
  /** Something there, maybe the root. */
  there: string;
  /** A name in some folder, maybe taken. */
  fresh: string;
  xattr: string;
  serial: number;
  portable: boolean;
}

const isFolder = (path: string): boolean => lstatSync(path).isDirectory();
const isLink = (path: string): boolean => lstatSync(path).isSymbolicLink();

const ACTIONS: Record<string, (scene: Scene) => void> = {
  create: ({ random, fresh, serial }) =>
    writeFileSync(fresh, `${serial} `.repeat(random.below(40)), { mode: random.pick([0o644, 0o755, 0o4755, 0o600]) }),
  append: ({ there, serial }) => appendFileSync(there, `more ${serial}\n`),
  truncate: ({ there, random }) => truncateSync(there, random.below(3)),
  chmod: ({ there, random, root }) => {
    if (there !== root && !isLink(there)) chmodSync(there, random.pick([0o700, 0o755, 0o640, 0o2755, 0o1777, 0o444]));
  },
  chown: ({ there, random, root }) => {
    if (there !== root && !isLink(there)) chownSync(there, random.below(3) * 500, random.below(3) * 7);
  },
  xattr: ({ there, xattr, random, root, portable }) => {
    if (there === root || (portable && isLink(there))) return;
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    lsetxattr(there, xattr, xattr === 'security.capability' ? capability : Buffer.from(`v${random.below(3)}`));
  },
  unxattr: ({ there, xattr }) => lremovexattr(there, xattr),
  remove: ({ there, root }) => {
    if (there !== root) rmSync(there, { recursive: true });
  },
  rename: ({ there, fresh, root }) => {
    if (there !== root) renameSync(there, fresh);
  },
  // Copies where a directory cannot be renamed; it may not want to.
  mv: ({ there, fresh, root }) => {
    if (there !== root) spawnSync('mv', ['-T', there, fresh], { stdio: 'ignore' });
  },
  mkdir: ({ fresh, random }) => {
    mkdirSync(fresh, { mode: random.pick([0o755, 0o700, 0o2775]) });
  },
  symlink: ({ fresh, random }) => symlinkSync(random.pick(['a', '/etc/b', '../..', 'no where']), fresh),
  link: ({ there, fresh }) => linkSync(there, fresh),
  'a file for a folder, or the other way round': ({ there, root }) => {
    if (there === root) return;
    if (isFolder(there)) {
      rmSync(there, { recursive: true });
      return writeFileSync(there, 'was a folder');
    }
    unlinkSync(there);
    mkdirSync(there);
    writeFileSync(join(there, 'inside'), 'was a file');
  },
  'out of the way, and another under the old name': ({ there, fresh, root }) => {
    if (there === root || existsSync(fresh)) return;
    const folder = isFolder(there);
    renameSync(there, fresh);
    if (folder) mkdirSync(there);
    writeFileSync(folder ? join(there, 'a') : there, 'swapped');
  },
  'mode and owner of the root': ({ root, random }) => {
    chmodSync(root, random.pick([0o711, 0o755]));
    chownSync(root, random.below(2) * 7, 0);
  },
  'attribute of the root': ({ root }) => lsetxattr(root, 'user.root', Buffer.from('r')),
};
const KINDS = [...Object.keys(ACTIONS), 'create', 'remove', 'rename', 'rename', 'mkdir'];

export interface VandalOptions {
  /** Names of attributes it sets, besides the usual. */
  xattrs?: readonly string[];
  /** Only what every tool for images keeps: few attributes, none on symlinks, and the root is left alone. */
  portable?: boolean;
}

/** Does things to a tree as a package manager may, and worse. */
export class Vandal {
  readonly #root: string;
  readonly #random: Random;
  /** What was done, one line each. */
  readonly log: string[] = [];
  readonly #xattrs: readonly [string, ...string[]];
  readonly #kinds: readonly string[];
  readonly #portable: boolean;

  constructor(root: string, random: Random, { xattrs = [], portable = false }: VandalOptions = {}) {
    this.#root = root;
    this.#random = random;
    this.#portable = portable;
    this.#xattrs = portable ? ['user.note', 'security.capability'] : [...XATTRS, ...xattrs];
    this.#kinds = portable ? KINDS.filter((kind) => !kind.endsWith('of the root')) : KINDS;
  }

  act(times: number): void {
    for (let serial = 0; serial < times; serial++) {
      const kind = this.#kinds[this.#random.below(this.#kinds.length)] ?? '';
      const scene: Scene = {
        random: this.#random,
        root: this.#root,
        there: this.#anything(),
        fresh: join(this.#folder(), this.#random.pick(NAMES)),
        xattr: this.#random.pick(this.#xattrs),
        serial,
        portable: this.#portable,
      };
      let outcome = '';
      try {
        ACTIONS[kind]?.(scene);
      } catch (error) {
        outcome = errnoCode(error) ?? '';
        if (!REFUSALS.has(outcome)) throw error;
      }
      const short = (path: string): string => path.slice(this.#root.length);
      this.log.push(`${kind} ${short(scene.there)} ${short(scene.fresh)} ${scene.xattr} ${outcome}`);
    }
  }

  #folder(): string {
    let folder = this.#root;
    for (let depth = this.#random.below(5); depth > 0; depth--) {
      const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
      const next = folders.map(({ name }) => name).sort()[this.#random.below(Math.max(1, folders.length))];
      if (next === undefined) break;
      folder = join(folder, next);
    }
    return folder;
  }

  #anything(): string {
    const folder = this.#folder();
    const names = readdirSync(folder).sort();
    const name = names[this.#random.below(Math.max(1, names.length))];
    return name === undefined ? folder : join(folder, name);
  }
}

/** A small tree with something of everything, and names that {@link Vandal} meets again. */
export function makeBase(root: string): void {
  const folders = ['usr/lib/a', 'usr/share/b/c', 'usr/a/b/c/data', 'a/b/c', 'b', 'data/x.conf', 'lib/share', 'c/empty'];
  for (const folder of folders) mkdirSync(join(root, folder), { recursive: true });
  let serial = 0;
  for (const folder of folders.slice(0, -1)) {
    for (const name of ['x.conf', 'data', 'a', 'b']) {
      const path = join(root, folder, name);
      if (existsSync(path)) continue;
      // Every other has the same content, owner and mode as another: in a checkout they are one inode.
      writeFileSync(path, serial++ % 2 === 0 ? 'the same everywhere\n' : `content ${serial}\n`.repeat(serial * 3));
    }
  }
  writeFileSync(join(root, 'usr/lib/big'), Buffer.alloc(1_500_000, 'large '));
  chmodSync(join(root, 'usr/lib/big'), 0o4755);
  chownSync(join(root, 'a/b/c/x.conf'), 12, 34);
  symlinkSync('b', join(root, 'a/link'));
  lsetxattr(join(root, 'b/a'), 'user.note', Buffer.from('from the base'));
  lsetxattr(join(root, 'data'), 'user.note', Buffer.from('on a folder'));
}
