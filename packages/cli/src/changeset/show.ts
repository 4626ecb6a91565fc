import type { Change } from '@atomic/ostree';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, requireSource, type SourceFlags, withSource } from './common.ts';

/** Adds `atomic changeset show`. */
export function register(changeset: Command): void {
  const show = add(changeset, 'show', "list the changes in an overlay's upper directory or an OCI layer", [
    'atomic changeset show --upper=work/upper',
    'atomic changeset show --layer=blobs/sha256/0123…',
    'atomic changeset show --layer=layer.tar.gz --json | jq -r .[].path',
  ]);
  withSource(show).action(action(run));
}

/** What is printed of a change. */
interface Shown {
  kind: Change['kind'];
  path: string;
  mode?: string;
  uid?: number;
  gid?: number;
  size?: number;
  target?: string;
  origin?: string;
  xattrs?: string[];
}

function shown(change: Change): Shown {
  const { kind, path } = change;
  if (kind === 'remove' || kind === 'clear') return { kind, path };
  if (kind === 'hardlink') return { kind, path, target: change.to };
  const { mode, uid, gid, xattrs } = change;
  const names = xattrs.map(({ name }) => name.toString('latin1'));
  return {
    kind,
    path,
    mode: mode.toString(8).padStart(4, '0'),
    uid,
    gid,
    ...(kind === 'file' ? { size: change.size } : {}),
    ...(kind === 'symlink' ? { target: change.target } : {}),
    ...((kind === 'dir' || kind === 'meta') && change.origin !== undefined ? { origin: change.origin } : {}),
    ...(names.length > 0 ? { xattrs: names } : {}),
  };
}

function line({ kind, path, mode, uid, gid, size, target, origin, xattrs }: Shown): string {
  const owner = uid === undefined ? '' : `${uid}:${gid}`;
  const arrow = target === undefined ? '' : kind === 'hardlink' ? ` => ${target}` : ` -> ${target}`;
  const from = origin === undefined ? '' : ` (from ${origin})`;
  const attributes = xattrs === undefined ? '' : ` [${xattrs.join(' ')}]`;
  const columns = [kind.padEnd(8), (mode ?? '').padEnd(4), owner.padEnd(9), `${size ?? ''}`.padStart(10)];
  return `${columns.join(' ')}  /${path}${arrow}${from}${attributes}`;
}

async function run(ctx: Context, options: SourceFlags): Promise<void> {
  await requireSource(options);
  const { readLayer, readUpper } = await import('@atomic/ostree');
  const { upper, layer, userxattr } = options;
  const special = { onSpecial: (path: string) => ctx.warn(`special file: /${path}`), signal: ctx.signal };
  const all: Shown[] = [];
  const take = async (changes: AsyncIterable<Change>): Promise<void> => {
    for await (const change of changes) {
      if (ctx.json) all.push(shown(change));
      else ctx.print(line(shown(change)));
    }
  };
  if (upper !== undefined) await take(readUpper(upper, { userxattr, ...special }));
  for (const file of layer) await take(readLayer(file, special));
  if (ctx.json) ctx.printJson(all);
}
