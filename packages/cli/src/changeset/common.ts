import type { Command } from 'commander';

/** Adds a command to `atomic changeset`. */
export const add = (changeset: Command, name: string, summary: string, examples: string[]): Command =>
  changeset
    .command(name)
    .description(summary)
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);

/** Gives a command the options that name a repository. */
export const withRepo = (command: Command): Command =>
  command
    .option('-r, --repo <path>', "the repository (default: the sysroot's)")
    .option('--sysroot <path>', 'use the sysroot at PATH (default: /)');

export const collect = (value: string, all: string[]): string[] => [...all, value];

/** Options that name an overlay's upper directory, or layers. */
export interface SourceFlags {
  upper?: string;
  layer: string[];
  userxattr?: boolean;
  skipSpecial?: boolean;
}

export const withSource = (command: Command): Command =>
  command
    .option('--upper <dir>', 'the upper directory of an overlay that is not mounted any more')
    .option('--layer <file>', 'an OCI layer (tar, packed or not); may be repeated, lowest first', collect, [])
    .option('--userxattr', 'the overlay was mounted with userxattr')
    .option('--skip-special', 'leave devices, fifos and sockets out instead of refusing them');

/** Throws unless the options name one or the other. */
export async function requireSource({ upper, layer }: SourceFlags): Promise<void> {
  if ((upper === undefined) !== (layer.length === 0)) return;
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', 'name the changeset: either --upper=DIR or --layer=FILE');
}
