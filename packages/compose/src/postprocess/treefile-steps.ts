import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError, type Progress } from '@atomic/ostree';
import type { PackageManager } from '../packages/manager.ts';
import { runInTree } from '../sandbox.ts';
import type { Located, Treefile } from '../treefile/treefile.ts';
import { keepLanguages } from './languages.ts';
import { escapes } from './layout.ts';

interface StepOptions {
  /** who knows which files are a package's */
  manager: Pick<PackageManager, 'files'>;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

const at = (item: Located<unknown>): string => `${item.file}:${item.line}`;

/** Files added by a treefile belong to root; only the permission bits of the source are kept, and of those only x for all. */
function addFile(root: string, source: string, destination: string): void {
  const to = join(root, destination);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(source, to, { recursive: true, verbatimSymlinks: true });
  const settle = (path: string): void => {
    const stat = lstatSync(path);
    if (stat.isSymbolicLink()) return;
    chownSync(path, 0, 0);
    chmodSync(path, stat.isDirectory() || (stat.mode & 0o111) !== 0 ? 0o755 : 0o644);
    if (stat.isDirectory()) for (const name of readdirSync(path)) settle(join(path, name));
  };
  settle(to);
}

function removeFromPackage(
  root: string,
  item: Treefile['removeFromPackages'][number],
  manager: StepOptions['manager'],
): void {
  const patterns = item.value.patterns.map((pattern) => new RegExp(pattern, 'u'));
  for (const path of manager.files(root, item.value.package)) {
    if (!patterns.some((pattern) => pattern.test(path)) || escapes(root, dirname(path))) continue;
    const stat = lstatSync(join(root, path), { throwIfNoEntry: false });
    if (stat !== undefined && !stat.isDirectory()) rmSync(join(root, path));
  }
}

/**
 * Applies what a treefile asks for beyond packages, in this order: remove-files, add-files, units, mask-units,
 * default-target, scripts; before all of them remove-from-packages and install-langs. Scripts see the tree as a running system would (/etc, not /usr/etc) and no network.
 */
export async function applyTreefile(root: string, treefile: Treefile, options: StepOptions): Promise<void> {
  for (const item of treefile.removeFromPackages) removeFromPackage(root, item, options.manager);
  if (treefile.family === 'deb' && treefile.installLangs !== undefined) keepLanguages(root, treefile.installLangs);
  for (const item of treefile.removeFiles) {
    if (escapes(root, dirname(item.value)))
      throw new AtomicError('invalid', `${at(item)}: 'remove-files' names ${item.value}, which leads out of the tree`);
    rmSync(join(root, item.value), { recursive: true, force: true });
  }
  for (const item of treefile.addFiles) {
    const { source, destination } = item.value;
    // Merged /usr: /lib/x is /usr/lib/x, by a relative link that stays inside.
    if (escapes(root, dirname(destination)))
      throw new AtomicError('invalid', `${at(item)}: 'add-files' names ${destination}, which leads out of the tree`);
    if (
      existsSync(join(root, destination)) &&
      statSync(join(root, destination)).isDirectory() &&
      !statSync(source).isDirectory()
    ) {
      throw new AtomicError(
        'invalid',
        `${at(item)}: 'add-files' names ${destination}, which is a directory in the tree`,
      );
    }
    addFile(root, source, destination);
  }
  const systemctl = async (item: Located<unknown>, key: string, ...command: string[]): Promise<void> => {
    await runInTree({
      root,
      command: ['systemctl', ...command],
      signal: options.signal,
      explain: (output) =>
        new AtomicError(
          'invalid',
          `${at(item)}: '${key}': systemctl ${command.join(' ')} failed: ${output.trim().split('\n').at(-1) ?? ''}`,
        ),
    });
  };
  for (const item of treefile.units) await systemctl(item, 'units', 'enable', item.value);
  for (const item of treefile.maskUnits) await systemctl(item, 'mask-units', 'mask', item.value);
  if (treefile.defaultTarget !== undefined) {
    await systemctl(
      { value: '', file: treefile.path, line: 1 },
      'default-target',
      'set-default',
      treefile.defaultTarget,
    );
  }
  if (treefile.hostname !== undefined) writeFileSync(join(root, 'etc/hostname'), `${treefile.hostname}\n`);
  for (const script of treefile.postprocess) {
    options.progress?.({ phase: 'postprocess', message: `script ${at(script)}` });
    const name = '.atomic-postprocess';
    writeFileSync(
      join(root, name),
      script.value.startsWith('#!') ? script.value : `#!/bin/sh\nset -e\n${script.value}`,
      { mode: 0o755 },
    );
    // Scripts written for rpm-ostree know /etc by both of its names.
    const defaults = join(root, 'usr/etc');
    const linked = lstatSync(defaults, { throwIfNoEntry: false }) === undefined;
    if (linked) symlinkSync('../etc', defaults);
    try {
      await runInTree({
        root,
        command: [`/${name}`],
        signal: options.signal,
        explain: (output, code) =>
          new AtomicError(
            'failed',
            `${at(script)}: the postprocess script failed with status ${code}: ${output.trim().split('\n').slice(-3).join(' | ')}`,
          ),
      });
    } finally {
      rmSync(join(root, name), { force: true });
      if (linked && lstatSync(defaults, { throwIfNoEntry: false })?.isSymbolicLink()) rmSync(defaults);
    }
  }
}
