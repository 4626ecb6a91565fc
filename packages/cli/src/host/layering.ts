import type { LayerEdits, Sysroot, UpgradeResult } from '@atomic/sysroot';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import {
  brief,
  type ChangeFlags,
  changesLines,
  changesOf,
  collect,
  named,
  next,
  UNCHANGED,
  warnOfConflicts,
  warnOfNotes,
} from './common.ts';

/** Options of commands that may change what is layered besides what they are for. */
export interface EditFlags {
  install?: string[];
  uninstall?: string[];
}

export const withEditOptions = (command: Command): Command =>
  command
    .option('--install <package>', 'layer a package; may be given several times', collect)
    .option('--uninstall <package>', 'layer it no more; may be given several times', collect);

export const editsOf = ({ install, uninstall }: EditFlags): LayerEdits | undefined =>
  install === undefined && uninstall === undefined ? undefined : { install, uninstall };

/** Options of commands that change what is layered. */
export interface LayerFlags extends ChangeFlags {
  dryRun?: boolean;
  assumeyes?: boolean;
  applyLive?: boolean;
}

export const withDryRun = (command: Command): Command =>
  command.option('-n, --dry-run', 'say what would change, and change nothing');

/** What the package manager would do, in the manner of rpm-ostree's transactions. */
function printPlan(ctx: Context, { layer }: UpgradeResult): void {
  const all = layer?.changes ?? [];
  const from = (source: string | undefined) => (source === undefined ? '' : ` (${source})`);
  const part = (verb: string, lines: string[]) => {
    if (lines.length > 0) ctx.print(`${verb} ${lines.length} package${lines.length === 1 ? '' : 's'}:`);
    for (const line of lines) ctx.print(`  ${line}`);
  };
  part(
    'Removing',
    all.flatMap(({ name, from: old, to, arch }) => (old !== null && to === null ? [`${name}-${old}.${arch}`] : [])),
  );
  part(
    'Replacing',
    all.flatMap(({ name, from: old, to, source }) =>
      old !== null && to !== null ? [`${name} ${old} -> ${to}${from(source)}`] : [],
    ),
  );
  part(
    'Installing',
    all.flatMap(({ name, from: old, to, arch, source }) =>
      old === null && to !== null ? [`${name}-${to}.${arch}${from(source)}`] : [],
    ),
  );
  if (all.length === 0) ctx.print('The tree is that of the branch.');
}

/** Requests that have no effect now. */
function printInactive(ctx: Context, { layer }: UpgradeResult): void {
  if (layer === undefined || layer.inactive.length === 0) return;
  ctx.print('Inactive requests:');
  for (const { request, by } of layer.inactive)
    ctx.print(`  ${request} (${by === null ? 'not in the base' : `already provided by ${by}`})`);
}

async function confirmed(ctx: Context): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises');
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question('Continue? [y/N] ', { signal: ctx.signal })).trim());
  } finally {
    asking.close();
  }
}

/** Changes what is layered, as a command asks for it, and says what came of it; resolves to the exit status. */
export async function changeAndReport(
  ctx: Context,
  sysroot: Sysroot,
  change: (dryRun: boolean) => Promise<UpgradeResult>,
  options: LayerFlags,
): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  if (options.applyLive && sysroot.load().booted === null) {
    throw new AtomicError('invalid', '--apply-live changes the running system, and this disk is not it');
  }
  if (options.applyLive && !options.assumeyes && !options.dryRun && process.stdin.isTTY) {
    printPlan(ctx, await change(true));
    if (!(await confirmed(ctx))) throw new AtomicError('aborted', 'not confirmed; nothing was changed');
  }
  const result = await change(options.dryRun === true);
  const { deployment } = result;
  if (ctx.json) ctx.printJson({ ...result, deployment: deployment && brief(deployment) });
  if (!result.changed) {
    if (!ctx.json) ctx.print('No change.');
    return options.unchangedExit77 ? UNCHANGED : 0;
  }
  if (deployment === null) {
    if (ctx.json) return 0;
    printInactive(ctx, result);
    printPlan(ctx, result);
    ctx.print(options.dryRun ? "Exiting because of '--dry-run' option" : 'Downloaded.');
    return 0;
  }
  if (!ctx.json) {
    printInactive(ctx, result);
    ctx.print(`${deployment.staged ? 'Staged' : 'Deployed'}: ${named(deployment)}`);
    for (const line of await changesLines(await changesOf(sysroot, result))) ctx.print(line);
    if (deployment.finalizationLocked)
      ctx.print(`Locked until: atomic host finalize-deployment ${deployment.checksum}`);
  }
  warnOfNotes(ctx, result);
  await warnOfConflicts(ctx, sysroot, deployment);
  if (options.applyLive) {
    const { loadApplyLive } = await import('@atomic/sysroot');
    const { applyLive } = await loadApplyLive();
    const live = await applyLive(sysroot, { signal: ctx.signal, progress: ctx.progress, target: deployment.checksum });
    if (!ctx.json) (await import('./apply-live.ts')).printLive(ctx, live);
    return 0;
  }
  if (!deployment.finalizationLocked) await next(ctx, sysroot, options.reboot);
  return 0;
}

/** Package files by their whole path: the operation may run from another folder. */
export async function fromHere(words: readonly string[]): Promise<string[]> {
  const { resolve } = await import('node:path');
  return words.map((word) => (/\.(deb|rpm)$/.test(word) ? resolve(word.replace(/^file:\/\//, '')) : word));
}
