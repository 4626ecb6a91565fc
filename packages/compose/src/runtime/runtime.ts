import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { arch } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { folderInTree } from '../tree-files.ts';
import { bundle } from './bundle.ts';
import { stripElf } from './elf.ts';

/** Where `atomic` lies in a tree. */
export const RUNTIME_DIRECTORY = 'usr/lib/atomic';
/** What is of the program there; what else there is are settings, of whoever makes the tree. */
export const PROGRAM = ['node', 'atomic.cjs', 'machine.cjs', 'whole.cjs', 'worker.cjs', 'node_modules'];
/** Where a compressed one is mounted. */
export const MOUNTED_RUNTIME = `${RUNTIME_DIRECTORY}/runtime`;
/** Locked packages of other architectures than this machine's, in a checkout: tools/foreign-runtime.ts fetches them. */
export const FOREIGN_MODULES = 'build/cache/runtime/node_modules';
const UDEV_RULES = 'usr/lib/udev/rules.d';

/** Files of `atomic` for a tree: path in the tree → content and mode. */
export interface Runtime {
  files: Map<string, { content: Buffer; mode: number }>;
  /** sha256 over all of them */
  digest: string;
}

// Compiled code is kept, so that commands start faster from the second on; on a host that cannot write there Node goes on
// without.
// `folder` has the program; `before` is shell.
const launcher = (words: string, folder: string, before: string): string => `#!/bin/sh
${before}: "\${NODE_COMPILE_CACHE=/var/cache/atomic/compiled}"
export NODE_COMPILE_CACHE
exec ${folder}/node --disable-warning=ExperimentalWarning --max-semi-space-size=4 ${folder}/atomic.cjs ${words}"$@"
`;

/** The commands of a tree, for a program that lies in `folder`. */
export const launchers = (folder: string, before = ''): [path: string, content: string][] => [
  ['usr/bin/atomic', launcher('', folder, before)],
  ['usr/bin/ostree', launcher('ostree ', folder, before)],
];

const TMPFILES = `# Compiled code of the atomic command.
d /var/cache/atomic 0755 root root - -
d /var/cache/atomic/compiled 0755 root root - -
`;

const WATCHDOG_PATH = 'usr/lib/systemd/system.conf.d/50-atomic.conf';
// A kernel or a systemd that hangs ends the boot, which the boot loader has counted.
const WATCHDOG = `# Where there is a hardware watchdog, it resets a machine that hangs.
[Manager]
RuntimeWatchdogSec=1min
`;

/** The checkout this code runs from (its sources, or the bundle in build/bin), undefined inside a tree. */
function checkoutRoot(): string | undefined {
  const here = dirname(import.meta.filename);
  return [resolve(here, '../../../..'), resolve(here, '../..')].find((root) =>
    existsSync(join(root, 'packages/cli/src/atomic.ts')),
  );
}

/**
 * Gathers `atomic` for a tree: the locked Node runtime (without symbol tables), all our code bundled,
 * koffi with its native half, launchers, systemd units. Run from inside a tree it copies that tree's own files.
 * `machine`: the tree's architecture, by Node's name. Throws AtomicError 'not-found' when a part is missing (no `npm ci`).
 */
export async function gatherRuntime(machine: string = arch()): Promise<Runtime> {
  const root = checkoutRoot();
  if (root === undefined && machine !== arch())
    throw new AtomicError('unsupported', `this host has atomic for ${arch()}, but the tree is for ${machine}`, {
      hint: 'compose it from a checkout, or on a host of that architecture',
    });
  const files =
    root === undefined ? gatherInstalled(dirname(import.meta.filename)) : await gatherCheckout(root, machine);
  const hash = createHash('sha256');
  for (const [path, { content, mode }] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(`${path}\0${mode}\0${content.length}\0`).update(content);
  }
  return { files, digest: hash.digest('hex') };
}

async function gatherCheckout(root: string, machine: string): Promise<Runtime['files']> {
  const files: Runtime['files'] = new Map();
  const add = (path: string, content: Buffer | string, mode = 0o644): void => {
    files.set(path, { content: Buffer.from(content), mode });
  };
  const need = (path: string): Buffer => {
    if (!existsSync(path))
      throw new AtomicError('not-found', `${relative(root, path)} is missing from the checkout`, {
        hint: machine === arch() ? 'run npm ci' : `run node_modules/.bin/node tools/foreign-runtime.ts ${machine}`,
      });
    return readFileSync(path);
  };
  const nodeModules = join(root, 'node_modules');
  const platform = `linux-${machine}`;
  const native = machine === arch() ? nodeModules : join(root, FOREIGN_MODULES);
  const node = join(native, `node-${platform}`);
  add(`${RUNTIME_DIRECTORY}/node`, stripElf(need(join(node, 'bin/node'))), 0o755);
  add('usr/share/licenses/atomic/node', need(join(node, 'LICENSE')));

  for (const part of ['atomic', 'machine', 'whole', 'worker'] as const)
    add(`${RUNTIME_DIRECTORY}/${part}.cjs`, (await bundle(root, part)).code);

  const modules = `${RUNTIME_DIRECTORY}/node_modules`;
  const koffi = dirname(createRequire(join(root, 'packages/linux/package.json')).resolve('koffi'));
  const loaders = ['index', 'src/koffi/index', 'src/koffi/src/static'].flatMap((name) => [`${name}.cjs`, `${name}.js`]);
  for (const name of ['package.json', ...loaders]) add(`${modules}/koffi/${name}`, need(join(koffi, name)));
  add('usr/share/licenses/atomic/koffi', need(join(koffi, 'LICENSE.txt')));
  const half = `@koromix/koffi-${platform}`;
  for (const name of ['package.json', 'index.js', `${platform.replace('-', '_')}/koffi.node`])
    add(`${modules}/${half}/${name}`, need(join(native, half, name)));

  for (const [path, content] of launchers(`/${RUNTIME_DIRECTORY}`)) add(path, content, 0o755);
  add('usr/lib/tmpfiles.d/atomic.conf', TMPFILES);
  add(WATCHDOG_PATH, WATCHDOG);
  const units = join(root, 'packages/sysroot/units');
  for (const name of existsSync(units) ? readdirSync(units).sort() : []) {
    if (/\.(service|path|timer|socket|target|mount)$/.test(name))
      add(`usr/lib/systemd/system/${name}`, need(join(units, name)));
    else if (name.endsWith('.rules')) add(`${UDEV_RULES}/${name}`, need(join(units, name)));
  }
  return files;
}

function gatherInstalled(directory: string): Runtime['files'] {
  const files: Runtime['files'] = new Map();
  // Of a compressed runtime it is the folder that is mounted.
  const compressed = directory.endsWith(`/${MOUNTED_RUNTIME}`);
  const root = resolve(directory, compressed ? '../../../..' : '../../..');
  const add = (path: string, mode: number): void => {
    const content = readFileSync(join(root, path));
    files.set(path.replace(`${MOUNTED_RUNTIME}/`, `${RUNTIME_DIRECTORY}/`), { content, mode });
  };
  const walk = (path: string): void => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      if (entry.isDirectory()) walk(`${path}/${entry.name}`);
      else add(`${path}/${entry.name}`, 0o644);
    }
  };
  if (!existsSync(join(directory, 'node'))) {
    throw new AtomicError('not-found', `${directory} has no Node runtime to put into the tree`, {
      hint: 'run from a checkout, or from a host that atomic composed',
    });
  }
  for (const name of PROGRAM) {
    const path = `${compressed ? MOUNTED_RUNTIME : RUNTIME_DIRECTORY}/${name}`;
    if (name === 'node_modules') walk(path);
    else add(path, name === 'node' ? 0o755 : 0o644);
  }
  if (existsSync(join(root, 'usr/share/licenses/atomic'))) walk('usr/share/licenses/atomic');
  for (const [path, content] of launchers(`/${RUNTIME_DIRECTORY}`))
    files.set(path, { content: Buffer.from(content), mode: 0o755 });
  for (const path of ['usr/lib/tmpfiles.d/atomic.conf', WATCHDOG_PATH]) add(path, 0o644);
  for (const name of readdirSync(join(root, 'usr/lib/systemd/system'))) {
    if (/^atomic-.*\.(service|path|timer|socket|target|mount)$/.test(name))
      add(`usr/lib/systemd/system/${name}`, 0o644);
  }
  const rules = join(root, UDEV_RULES);
  for (const name of existsSync(rules) ? readdirSync(rules) : []) {
    if (/^\d+-atomic-.*\.rules$/.test(name)) add(`${UDEV_RULES}/${name}`, 0o644);
  }
  return files;
}

/** Puts the files into a root and enables those units that say what wants them, below /usr: they are the tree's, not the administrator's. */
export function installRuntime(root: string, runtime: Runtime): void {
  for (const [path, { content, mode }] of runtime.files) {
    const full = join(folderInTree(root, dirname(path)), basename(path));
    // The distribution's own ostree is left alone.
    if (path === 'usr/bin/ostree' && lstatSync(full, { throwIfNoEntry: false }) !== undefined) continue;
    rmSync(full, { force: true });
    writeFileSync(full, content);
    chmodSync(full, mode);
    const unit = /^usr\/lib\/systemd\/system\/([^/]+)$/.exec(path)?.[1];
    if (unit === undefined) continue;
    for (const [, kind = '', targets = ''] of content.toString('utf8').matchAll(/^(WantedBy|RequiredBy)=(.*)$/gm)) {
      for (const target of targets.split(/\s+/).filter(Boolean)) {
        const wanting = `${target}.${kind === 'WantedBy' ? 'wants' : 'requires'}`;
        const folder = folderInTree(root, `usr/lib/systemd/system/${wanting}`);
        rmSync(join(folder, unit), { force: true });
        symlinkSync(`../${unit}`, join(folder, unit));
      }
    }
  }
}
