import { asArray, asString, type Metadata, type Variant } from '@atomic/ostree';

/** How the initramfs of a tree was made, where not as any: what makes another for that tree goes by it. */
export interface TreeInitramfs {
  /** With dracut, whatever its modules need. */
  packages: readonly string[];
  /** dracut's modules instead of the usual ones. */
  modules: readonly string[] | undefined;
  addModules: readonly string[];
  drivers: readonly string[];
  /** For dracut, after ours. */
  args: readonly string[];
}

/** Metadata of commits; the one of rpm-ostree has its name. */
const KEYS = {
  packages: 'atomic.initramfs-packages',
  modules: 'atomic.initramfs-modules',
  addModules: 'atomic.initramfs-add-modules',
  drivers: 'atomic.initramfs-drivers',
  args: 'rpmostree.initramfs-args',
} as const;
export const TREE_INITRAMFS_KEYS: readonly string[] = Object.values(KEYS);

/** What a commit says of it: nothing for a tree whose initramfs is as any. */
export function treeInitramfsMetadata({ packages, modules = [], addModules, drivers, args }: TreeInitramfs): Metadata {
  const metadata: Metadata = new Map();
  const put = (key: string, value: readonly string[]): void => {
    if (value.length > 0) metadata.set(key, { type: 'as', value: [...value] });
  };
  put(KEYS.packages, packages);
  put(KEYS.modules, modules);
  put(KEYS.addModules, addModules);
  put(KEYS.drivers, drivers);
  put(KEYS.args, args);
  return metadata;
}

export function readTreeInitramfs(metadata: Metadata): TreeInitramfs {
  const list = (key: string): string[] => {
    const variant: Variant | undefined = metadata.get(key);
    return variant?.type === 'as' ? asArray(variant.value).map(asString) : [];
  };
  const modules = list(KEYS.modules);
  return {
    packages: list(KEYS.packages),
    modules: modules.length === 0 ? undefined : modules,
    addModules: list(KEYS.addModules),
    drivers: list(KEYS.drivers),
    args: list(KEYS.args),
  };
}

/** The same as words for dracut, beside those of its own configuration. */
export const dracutWords = ({ modules, addModules, drivers, args }: TreeInitramfs): string[] => [
  ...(modules === undefined ? [] : ['--modules', modules.join(' ')]),
  ...(addModules.length === 0 ? [] : ['--add', addModules.join(' ')]),
  ...(drivers.length === 0 ? [] : ['--add-drivers', drivers.join(' ')]),
  ...args,
];
