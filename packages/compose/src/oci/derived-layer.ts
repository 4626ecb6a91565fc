import { type Change, type Checksum, isSymlink, type Repo, readLayer, S_IFREG } from '@atomic/ostree';

const OBJECT = /^sysroot\/ostree\/repo\/objects\/([0-9a-f]{2})\/([0-9a-f]{62})\.file$/;
/** What every build of an image leaves behind in these folders is the engine's, not the system's. */
const NOT_THE_TREE = /^(?:dev|proc|run|sys|tmp|sysroot)\//;

/** Where a path of an image's layer is in a tree; null for what no tree has. */
export function placeInTree(path: string): string | null {
  if (NOT_THE_TREE.test(path)) return null;
  return path === 'etc' || path.startsWith('etc/') ? `usr/${path}` : path;
}

/**
 * The changes of a layer that was built on top of a commit's. Files of the commit are hard links to the objects beside
 * them in the image, so a layer may name an object where it means the file.
 */
export async function* derivedChanges(
  repo: Repo,
  layer: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Change> {
  // A build that writes through such a link changes the object: what it holds then, by the name it had.
  const changed = new Map<Checksum, Checksum>();
  // A build makes devices in /dev, which is not the tree's.
  for await (const change of readLayer(layer, { signal, onSpecial: () => undefined })) {
    const object = objectAt(change.path);
    if (object !== null) {
      if (change.kind !== 'file' || change.content.from !== 'stream') continue;
      const { uid, gid, mode, xattrs, size, content } = change;
      await using transaction = await repo.begin({ signal });
      const header = { uid, gid, mode: S_IFREG | mode, target: '', xattrs };
      changed.set(object, await transaction.writeContent({ header, size, source: content.bytes }));
      await transaction.commit();
      continue;
    }
    const linked = change.kind === 'hardlink' ? objectAt(change.to) : null;
    yield linked === null ? change : fileOf(repo, change.path, changed.get(linked) ?? linked);
  }
}

function objectAt(path: string): Checksum | null {
  const [, prefix = '', rest = ''] = OBJECT.exec(path) ?? [];
  return prefix === '' ? null : prefix + rest;
}

function fileOf(repo: Repo, path: string, checksum: Checksum): Change {
  const { header, size } = repo.loadFile(checksum);
  const { uid, gid, mode, xattrs, target } = header;
  const common = { path, uid, gid, mode: mode & 0o7777, xattrs };
  if (isSymlink(mode)) return { ...common, kind: 'symlink', target };
  return { ...common, kind: 'file', size, content: { from: 'object', checksum } };
}
