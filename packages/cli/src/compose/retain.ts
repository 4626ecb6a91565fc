import type { Retention } from '@atomic/compose';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { collect, wholeNumber } from './common.ts';
import { type SignFlags, signing, withSignOptions } from './tree-options.ts';

interface RetainFlags extends SignFlags {
  repo: string;
  keepLast: string[];
  keepYounger: string[];
  dryRun?: boolean;
}

/** `atomic compose retain`. */
export function register(compose: Command): void {
  const command = compose
    .command('retain')
    .description('delete old releases, and the deltas and objects that were for them alone')
    .requiredOption('-r, --repo <path>', 'repository')
    .option('--keep-last <[ref=]number>', 'keep so many of the newest releases; may be repeated', collect, [])
    .option('--keep-younger <[ref=]span>', 'keep releases younger than this, such as 30d; may be repeated', collect, [])
    .option('--dry-run', 'only say what would go');
  withSignOptions(command)
    .addHelpText(
      'after',
      `
What either option asks for stays; so do the newest release of every ref, and barriers.

Examples:
  atomic compose retain --repo=repo --keep-last=5
  atomic compose retain --repo=repo --keep-last=3 --keep-younger=os/amd64/stable=365d --dry-run`,
    )
    .action(action(retainAction));
}

async function retainAction(ctx: Context, options: RetainFlags): Promise<void> {
  const { retain } = await import('@atomic/compose');
  const { AtomicError, formatSize, Repo } = await import('@atomic/ostree');
  const { parseDuration } = await import('@atomic/sysroot');
  const all: Retention = {};
  const refs = new Map<string, Retention>();
  const place = (text: string): [Retention, string] => {
    const at = text.lastIndexOf('=');
    if (at < 0) return [all, text];
    const ref = text.slice(0, at);
    const retention = refs.get(ref) ?? {};
    refs.set(ref, retention);
    return [retention, text.slice(at + 1)];
  };
  for (const text of options.keepLast) {
    const [retention, value] = place(text);
    retention.keepLast = await wholeNumber('--keep-last', value);
  }
  for (const text of options.keepYounger) {
    const [retention, value] = place(text);
    retention.keepYounger = parseDuration(value, '--keep-younger');
  }
  if (options.keepLast.length + options.keepYounger.length === 0)
    throw new AtomicError('usage', 'say what is to stay: --keep-last or --keep-younger');
  const result = await retain(Repo.open(options.repo), {
    retention: all,
    refs,
    dryRun: options.dryRun,
    sign: await signing(options),
    signal: ctx.signal,
    progress: ctx.progress,
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
  });
  if (ctx.json) return ctx.printJson(result);
  for (const [ref, count] of Object.entries(result.kept))
    ctx.print(`${ref}: ${count} kept, ${result.dropped[ref] ?? 0} ${options.dryRun ? 'would go' : 'dropped'}`);
  ctx.print(
    `${options.dryRun ? 'Would free' : 'Freed'}: ${formatSize(result.freedBytes)} in ${result.deleted} objects`,
  );
}
