import { AtomicError, type BeginOptions, replaceFile } from '@atomic/ostree';
import { readEntries } from './bootloader/bls.ts';
import { chooseBootloader } from './bootloader/choose.ts';
import { planTrial } from './bootloader/trial.ts';
import { flushForBoot } from './durable.ts';
import { formatKargs, kargValues, parseKargs } from './kargs.ts';
import { setStagedKargs } from './staging.ts';
import type { Sysroot } from './sysroot.ts';

/**
 * Changes the kernel arguments of every deployment without making new ones (`ostree admin kargs edit-in-place`). Each
 * boot entry is replaced by rename, so a cut leaves whole entries, some with the old arguments. A menu of ours beside
 * them is written again; boot loaders with their own files get the change with the next deployment, as with stock.
 */
export async function editKargsInPlace(
  sysroot: Sysroot,
  edit: (kargs: readonly string[]) => string[],
  options: BeginOptions = {},
): Promise<void> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  if (state.deployments.length === 0) {
    throw new AtomicError('not-found', 'Unable to find a deployment in sysroot');
  }
  if (state.staged !== null) setStagedKargs(sysroot, edit(state.staged.commandLine));
  const folder = `${sysroot.layout.loader(state.bootVersion)}/entries`;
  const written = state.deployments.filter(({ staged }) => !staged);
  const names: string[] = [];
  for (const { name, entry } of readEntries(folder)) {
    const kargs = edit(parseKargs(entry.get('options') ?? ''));
    // Without it the entry would boot nothing.
    if (kargValues(kargs, 'ostree').length !== 1)
      throw new AtomicError('invalid', `${name} would lose its ostree= argument`);
    entry.set('options', formatKargs(kargs));
    replaceFile(`${folder}/${name}`, entry.toString(), { mode: 0o644 });
    names.push(name);
  }
  if (sysroot.config.grubMenu) {
    await chooseBootloader(sysroot)?.write?.({
      sysroot,
      bootVersion: state.bootVersion,
      deployments: written,
      entries: names,
      trial: planTrial(sysroot, state, written),
      signal: options.signal,
    });
  }
  await flushForBoot(sysroot.layout.boot, state.booted !== null);
}
