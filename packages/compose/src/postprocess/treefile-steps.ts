import { lstatSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError, type Progress } from '@atomic/ostree';
import type { PackageManager } from '../packages/manager.ts';
import { runInTree } from '../sandbox.ts';
import { inTree, writeInTree } from '../tree-files.ts';
import type { Located, Treefile } from '../treefile/treefile.ts';
import { addFiles, placeOf } from './add-files.ts';
import { keepLanguages } from './languages.ts';

interface StepOptions {
  /** who knows which files are a package's */
  manager: Pick<PackageManager, 'files'>;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

const at = (item: Located<unknown>): string => `${item.file}:${item.line}`;

function removeFromPackage(
  root: string,
  item: Treefile['removeFromPackages'][number],
  manager: StepOptions['manager'],
): void {
  const patterns = item.value.patterns.map((pattern) => new RegExp(pattern, 'u'));
  for (const path of manager.files(root, item.value.package)) {
    if (!patterns.some((pattern) => pattern.test(path))) continue;
    const full = placeOf(root, path, 'remove-from-packages', item);
    const stat = lstatSync(full, { throwIfNoEntry: false });
    if (stat !== undefined && !stat.isDirectory()) rmSync(full);
  }
}

/**
 * Applies what a treefile asks for beyond packages, in this order: remove-files, add-files, units, mask-units,
 * default-target, scripts; before all of them remove-from-packages and install-langs. Scripts see the tree as a running system would (/etc, not /usr/etc) and no network.
 */
export async function applyTreefile(root: string, treefile: Treefile, options: StepOptions): Promise<void> {
  for (const item of treefile.removeFromPackages) removeFromPackage(root, item, options.manager);
  if (treefile.family === 'deb' && treefile.installLangs !== undefined) keepLanguages(root, treefile.installLangs);
  for (const item of treefile.removeFiles)
    rmSync(placeOf(root, item.value, 'remove-files', item), { recursive: true, force: true });
  for (const item of treefile.addFiles) addFiles(root, item);
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
  if (treefile.hostname !== undefined) writeInTree(root, 'etc/hostname', `${treefile.hostname}\n`);
  for (const script of treefile.postprocess) {
    options.progress?.({ phase: 'postprocess', message: `script ${at(script)}` });
    const name = '.atomic-postprocess';
    const text = script.value.startsWith('#!') ? script.value : `#!/bin/sh\nset -e\n${script.value}`;
    writeInTree(root, name, text, 0o755);
    // Scripts written for rpm-ostree know /etc by both of its names.
    const defaults = join(inTree(root, 'usr'), 'etc');
    const linked = lstatSync(defaults, { throwIfNoEntry: false }) === undefined;
    if (linked) symlinkSync('../etc', defaults);
    try {
      await runInTree({
        root,
        command: [`/${name}`],
        discardOutput: true,
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
