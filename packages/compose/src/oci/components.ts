import { type Checksum, descendants, type Repo, TreeFile, treeRoot } from '@atomic/ostree';
import { packageFiles } from '@atomic/pkgdb';

/** What belongs together in a tree and changes together: a package, the initramfs, `atomic` itself, the rest. */
export interface Component {
  name: string;
  /** Bytes of its content. */
  size: number;
  /** Object → its paths in the tree. */
  content: Map<Checksum, string[]>;
}

/** What no package has, by how its path begins. */
const UNPACKAGED: readonly [RegExp, string][] = [
  [/^\/usr\/lib\/modules\/[^/]+\/initramfs\.img$/, 'initramfs'],
  [/^\/usr\/lib\/modules\/[^/]+\/vmlinuz$/, 'kernel'],
  [/^\/usr\/lib\/atomic\//, 'atomic'],
];
const REST = 'unpackaged';

/**
 * The files of a commit by component, largest first. An object with names in two packages is the first one's, so that
 * no layer repeats another's.
 */
export function componentsOf(repo: Repo, commit: Checksum): Component[] {
  const owners = new Map<string, string>();
  for (const [name, paths] of packageFiles(repo, commit)) for (const path of paths) owners.set(path, name);
  const home = new Map<Checksum, Component>();
  const components = new Map<string, Component>();
  for (const entry of descendants(repo, treeRoot(repo, commit))) {
    if (!(entry instanceof TreeFile)) continue;
    const { path, checksum } = entry;
    let component = home.get(checksum);
    if (component === undefined) {
      const name = owners.get(path) ?? UNPACKAGED.find(([pattern]) => pattern.test(path))?.[1] ?? REST;
      component = components.get(name) ?? { name, size: 0, content: new Map() };
      components.set(name, component);
      home.set(checksum, component);
      component.size += entry.size;
    }
    const paths = component.content.get(checksum) ?? [];
    paths.push(path);
    component.content.set(checksum, paths);
  }
  return [...components.values()].sort((a, b) => b.size - a.size || (a.name < b.name ? -1 : 1));
}
