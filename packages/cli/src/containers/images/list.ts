import type { ImageSummary } from '@atomic/containers';
import type { Command } from 'commander';
import { openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';
import { type ListFlags, listing, printTable } from '../listing.ts';
import { places } from '../places.ts';
import { type Column, filterRows, shortId, shortTime } from '../table.ts';

/** One name of an image, or an image without any. */
interface Row extends Omit<ImageSummary, 'names' | 'digests' | 'labels'> {
  repository: string;
  tag: string;
  dangling: boolean;
  /** A container was made of it. */
  used: boolean;
  /** By the last scan of it. */
  vulnerable: boolean;
}

function rowsOf(
  { names, digests, labels: _, ...image }: ImageSummary,
  used: ReadonlySet<string>,
  vulnerable: boolean,
): Row[] {
  const common = { ...image, used: used.has(image.id), vulnerable };
  if (names.length === 0) {
    const repository = digests[0]?.replace(/@.*$/, '') ?? '<none>';
    return [{ ...common, repository, tag: '<none>', dangling: true }];
  }
  return names.map((name) => {
    const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
    const [repository, tag] = colon < 0 ? [name, ''] : [name.slice(0, colon), name.slice(colon + 1)];
    return { ...common, repository, tag, dangling: false };
  });
}

const FIELDS: Record<string, (row: Row) => string> = {
  repo: ({ repository }) => repository,
  tag: ({ tag }) => tag,
  id: ({ id }) => id,
  image: ({ repository, tag }) => `${repository}:${tag}`,
  created: ({ created }) => created,
  size: ({ size }) => String(size),
  type: ({ backend }) => backend,
  is_dangling: ({ dangling }) => String(dangling),
};

/** Adds `atomic images list`. */
export function register(images: Command): void {
  const list = add(images, 'list', 'list the images of all engines and of the store', [
    'atomic images list                              > is used, * has no name any more, ! is vulnerable',
    'atomic images list --filter repo=registry.example --filter type=docker',
    'atomic images list --filter is_dangling=true -q',
    'atomic images list --json',
  ]);
  listing(list, {
    all: 'those without a name too',
    fields: Object.keys(FIELDS),
    whole: 'whole ids',
    storage: 'docker, podman or atomic',
  }).action(
    containerAction(async (ctx, flags: ListFlags) => {
      const { readSummary } = await import('@atomic/containers');
      const { formatSize } = await import('@atomic/ostree');
      const { join } = await import('node:path');
      await using backends = await openBackends(flags.storage);
      const [images, containers] = await Promise.all([
        Promise.all(backends.images.map((one) => one.list({ signal: ctx.signal }))),
        Promise.all(backends.containers.map((one) => one.list({ signal: ctx.signal }))),
      ]);
      const scanned = readSummary(join(places().state, 'scans/scan_summary.json'));
      const used = new Set(containers.flat().map(({ imageId }) => imageId));
      const all = images.flat().flatMap((image) => rowsOf(image, used, scanned[image.id]?.vulnerable === true));
      const shown = flags.all === true || flags.filter.length > 0 ? all : all.filter(({ dangling }) => !dangling);
      const rows = (await filterRows(shown, flags.filter, FIELDS)).sort(
        (a, b) => a.repository.localeCompare(b.repository) || a.tag.localeCompare(b.tag),
      );
      if (ctx.json) {
        ctx.printJson(rows);
        return;
      }
      if (ctx.quiet) {
        for (const id of new Set(rows.map((row) => row.id))) ctx.print(flags.trunc ? shortId(id) : id);
        return;
      }
      const columns: Column<Row>[] = [
        {
          title: ' ',
          value: ({ dangling, used: isUsed, vulnerable }) =>
            `${vulnerable ? '!' : ''}${dangling ? '*' : isUsed ? '>' : ''}`,
        },
        { title: 'REPOSITORY', value: ({ repository }) => repository },
        { title: 'TAG', value: ({ tag }) => tag },
        { title: 'IMAGE ID', value: ({ id }) => (flags.trunc ? shortId(id) : id) },
        { title: 'CREATED', value: ({ created }) => shortTime(created) },
        { title: 'SIZE', value: ({ size }) => formatSize(size) },
        { title: 'TYPE', value: ({ backend }) => backend },
      ];
      printTable(ctx, rows, columns, flags, true);
    }),
  );
}
