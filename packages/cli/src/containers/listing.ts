import { type Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { collect } from './common.ts';
import { type Column, tableLines } from './table.ts';

/** What every listing takes. */
export interface ListFlags {
  all?: boolean;
  filter: string[];
  heading: boolean;
  /** As the original says it. */
  noheading?: boolean;
  trunc: boolean;
  storage?: string;
}

/** Adds the options of a listing: what `--all` adds, what `--filter` knows, what is cut short, whose it may be. */
export const listing = (
  command: Command,
  texts: { all: string; fields: readonly string[]; whole: string; storage: string },
): Command =>
  command
    .option('-a, --all', texts.all)
    .option(
      '-f, --filter <key=value>',
      `only those that match: ${texts.fields.join(', ')}; may be repeated`,
      collect,
      [],
    )
    .option('-n, --no-heading', 'without the line of titles')
    .addOption(new Option('--noheading').hideHelp())
    .option('--no-trunc', texts.whole)
    .option('--storage <engine>', `only ${texts.storage}`);

/** Prints rows for people; `whole`: nothing is cut to its column. */
export function printTable<R>(
  ctx: Context,
  rows: readonly R[],
  columns: readonly Column<R>[],
  flags: Pick<ListFlags, 'heading' | 'noheading'>,
  whole: boolean,
): void {
  const heading = flags.heading && flags.noheading !== true;
  for (const line of tableLines(rows, columns, { heading, whole })) ctx.print(line);
}
