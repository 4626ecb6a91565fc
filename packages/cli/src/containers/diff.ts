import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { openStore } from './store.ts';
import { visible } from './table.ts';

interface DiffFlags {
  namesOnly?: boolean;
  files?: boolean;
  packages?: boolean;
  metadata?: boolean;
}

/** Adds `atomic diff`. */
export function register(program: Command): void {
  add(program, 'diff', 'what is different in another image: files, packages, settings', [
    'atomic diff registry.example/app:1 registry.example/app:2',
    'atomic diff --packages app:1 app:2',
  ])
    .argument('<image>', 'the image')
    .argument('<other>', 'the other one')
    .option('--files', 'only files')
    .option('-r, --packages', 'only packages')
    .option('-m, --metadata', 'only settings')
    .option('-n, --names-only', 'only the names of packages')
    .action(containerAction(diffAction));
}

async function diffAction(ctx: Context, first: string, second: string, flags: DiffFlags): Promise<void> {
  const { diffImages } = await import('@atomic/containers');
  const { blockLines, pkgDiffJson, rpmDiffJson } = await import('@atomic/pkgdb');
  const store = await openStore();
  const diff = await diffImages(store, store.need(first), store.need(second), { signal: ctx.signal });
  const all = !flags.files && !flags.packages && !flags.metadata;
  if (ctx.json) {
    ctx.printJson({
      ...(all || flags.files ? { files: diff.files } : {}),
      ...(all || flags.packages ? { packages: diff.packages === null ? null : pkgDiffJson(diff.packages) } : {}),
      ...(all || flags.metadata ? { metadata: diff.metadata } : {}),
    });
    return;
  }
  // Names and labels are somebody else's, and may have anything in them.
  const show = (line: string): void => ctx.print(visible(line).replaceAll('\n', '\\x0a').replaceAll('\t', '\\x09'));
  if (all || flags.metadata) {
    for (const { key, before, after } of diff.metadata) show(`${key}: ${before || '-'} -> ${after || '-'}`);
  }
  if ((all || flags.packages) && diff.packages !== null) {
    const { upgraded, downgraded, removed, added } = diff.packages;
    if (flags.namesOnly) {
      const names = [...upgraded, ...downgraded].map(({ after }) => after).concat(removed, added);
      for (const name of [...new Set(names.map((one) => one.name))].sort()) show(name);
    } else for (const line of blockLines(rpmDiffJson(diff.packages))) show(line);
  }
  if (all || flags.files) {
    const { modified, removed, added } = diff.files;
    for (const path of modified) show(`M ${path}`);
    for (const path of removed) show(`D ${path}`);
    for (const path of added) show(`A ${path}`);
  }
}
