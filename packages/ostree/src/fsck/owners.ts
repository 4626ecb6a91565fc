import type { Checksum } from '../objects/checksum.ts';
import type { Commit } from '../objects/commit.ts';
import type { DirTree } from '../objects/dirtree.ts';
import type { ObjectType } from '../objects/type.ts';
import { objectKey } from '../repo/reachable.ts';
import type { Repo } from '../repo/repo.ts';

/** The commits that reach each of `objects`, by object key. Walks the trees only when there are objects to look for. */
export function findOwners(
  repo: Repo,
  commits: readonly [Checksum, Commit][],
  objects: readonly { type: ObjectType; checksum: Checksum }[],
): Map<string, Checksum[]> {
  const owners = new Map<string, Checksum[]>(objects.map(({ type, checksum }) => [objectKey(type, checksum), []]));
  if (owners.size === 0) return owners;
  const within = new Map<Checksum, Set<string>>();
  for (const [checksum, commit] of commits) {
    const found = new Set(treeHas(repo, commit.tree, owners, within));
    for (const key of [objectKey('commit', checksum), objectKey('dirmeta', commit.meta)]) {
      if (owners.has(key)) found.add(key);
    }
    for (const key of found) owners.get(key)?.push(checksum);
  }
  return owners;
}

/** Which of the wanted objects a tree reaches; what was found out about trees is kept in `known`. */
function treeHas(
  repo: Repo,
  root: Checksum,
  wanted: ReadonlyMap<string, unknown>,
  known: Map<Checksum, Set<string>>,
): Set<string> {
  const none = new Set<string>();
  // An explicit stack, for damage or malice may nest trees deeply; a tree is done after its children.
  const stack: { tree: Checksum; listing: DirTree | null; next: number }[] = [];
  const enter = (tree: Checksum) => {
    if (known.has(tree)) return;
    known.set(tree, none); // until it is done, so that trees in a circle come to an end
    stack.push({ tree, listing: load(repo, tree), next: 0 });
  };
  enter(root);
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const child = top.listing?.dirs[top.next++];
    if (child !== undefined) {
      enter(child.tree);
      continue;
    }
    stack.pop();
    const { tree, listing } = top;
    const found = new Set<string>();
    const note = (key: string) => {
      if (wanted.has(key)) found.add(key);
    };
    note(objectKey('dirtree', tree));
    for (const file of listing?.files ?? []) note(objectKey('file', file.checksum));
    for (const dir of listing?.dirs ?? []) {
      note(objectKey('dirmeta', dir.meta));
      for (const key of known.get(dir.tree) ?? none) found.add(key);
    }
    if (found.size > 0) known.set(tree, found);
  }
  return known.get(root) ?? none;
}

function load(repo: Repo, tree: Checksum): DirTree | null {
  try {
    return repo.loadDirTree(tree);
  } catch {
    return null;
  }
}
