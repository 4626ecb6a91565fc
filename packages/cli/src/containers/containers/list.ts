import type { ContainerSummary } from '@atomic/containers';
import type { Command } from 'commander';
import { openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';
import { type ListFlags, listing, printTable } from '../listing.ts';
import { places } from '../places.ts';
import { type Column, filterRows, shortId, shortTime } from '../table.ts';

interface Row extends ContainerSummary {
  /** Its image, by the last scan. */
  vulnerable: boolean;
}

const COLUMNS: Column<Row>[] = [
  { title: ' ', value: ({ vulnerable }) => (vulnerable ? '!' : '') },
  { title: 'CONTAINER ID', value: ({ id }) => id, width: 13 },
  { title: 'IMAGE', value: ({ image }) => image, width: 40 },
  { title: 'NAME', value: ({ name }) => name, width: 30 },
  { title: 'COMMAND', value: ({ command }) => command, width: 20 },
  { title: 'CREATED', value: ({ created }) => shortTime(created) },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'BACKEND', value: ({ backend }) => backend },
  { title: 'RUNTIME', value: ({ runtime }) => runtime },
];

const FIELDS: Record<string, (row: Row) => string> = {
  container: ({ id }) => id,
  image: ({ image }) => image,
  name: ({ name }) => name,
  command: ({ command }) => command,
  created: ({ created }) => created,
  state: ({ state }) => state,
  runtime: ({ runtime }) => runtime,
  backend: ({ backend }) => backend,
};

/** Adds `atomic containers list`. */
export function register(containers: Command): void {
  const list = add(containers, 'list', 'list the containers that run', [
    'atomic containers list                            ! was found vulnerable by the last scan',
    'atomic containers list --all                      those that do not run too',
    'atomic containers list -a --filter state=exited --filter backend=docker',
    'atomic containers list -q                         their ids alone',
    'atomic containers list --all --json',
  ]);
  listing(list, {
    all: 'those that do not run too',
    fields: Object.keys(FIELDS),
    whole: 'whole ids, names and commands',
    storage: 'docker, podman, system or quadlet',
  }).action(
    containerAction(async (ctx, flags: ListFlags) => {
      const { readSummary } = await import('@atomic/containers');
      const { join } = await import('node:path');
      await using backends = await openBackends(flags.storage);
      const scanned = readSummary(join(places().state, 'scans/scan_summary.json'));
      const lists = await Promise.all(backends.containers.map((one) => one.list({ signal: ctx.signal })));
      const all = lists.flat().map((one): Row => ({ ...one, vulnerable: scanned[one.imageId]?.vulnerable === true }));
      // Who asks for a state means those, whether they run or not.
      const every = flags.all === true || flags.filter.some((filter) => filter.startsWith('state='));
      const shown = every ? all : all.filter(({ state }) => state === 'running');
      const rows = (await filterRows(shown, flags.filter, FIELDS)).sort((a, b) => b.created.localeCompare(a.created));
      if (ctx.json) ctx.printJson(rows);
      else if (ctx.quiet) for (const { id } of rows) ctx.print(flags.trunc ? shortId(id) : id);
      else printTable(ctx, rows, COLUMNS, flags, !flags.trunc);
    }),
  );
}
