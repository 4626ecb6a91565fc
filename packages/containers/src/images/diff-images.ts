import { diffTrees, type TreeDiff } from '@atomic/ostree';
import { commitView, diffPackages, type PackageDiff, readPackages, type TreeView } from '@atomic/pkgdb';
import type { ImageStore } from './image-store.ts';
import { type StoredImage, storedConfig } from './stored-image.ts';

export interface ImageDiff {
  files: TreeDiff;
  /** Null where either has no package database. */
  packages: PackageDiff | null;
  /** Settings that differ: name, before and after ('' for none). */
  metadata: { key: string; before: string; after: string }[];
}

/** What is different in another image: files, packages, settings. */
export async function diffImages(
  { repo }: ImageStore,
  before: StoredImage,
  after: StoredImage,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ImageDiff> {
  const side = ({ commit }: StoredImage) => ({ rev: commit, subpath: '/rootfs' });
  const files = await diffTrees(repo, side(before), side(after), options);
  const inRoot = (path: string): string => path.slice('/rootfs'.length);
  const packages = [before, after].map((image) => readPackages(rootView(commitView(repo, image.commit))));
  const [old, young] = packages;
  const settings = [before, after].map((image) => settingsOf(storedConfig(repo, image)));
  const [was = new Map<string, string>(), is = new Map<string, string>()] = settings;
  const keys = [...new Set([...was.keys(), ...is.keys()])].sort();
  return {
    files: {
      modified: files.modified.map(inRoot),
      removed: files.removed.map(inRoot),
      added: files.added.map(inRoot),
    },
    packages: old == null || young == null ? null : diffPackages(old, young),
    metadata: keys.flatMap((key) => {
      const change = { key, before: was.get(key) ?? '', after: is.get(key) ?? '' };
      return change.before === change.after ? [] : [change];
    }),
  };
}

/** The root of an image in its commit. */
const rootView = (view: TreeView): TreeView => ({
  look: (path) => view.look(path === '' ? 'rootfs' : `rootfs/${path}`),
});

function settingsOf({ config, architecture, os }: ReturnType<typeof storedConfig>): Map<string, string> {
  const found = new Map([
    ['architecture', architecture],
    ['os', os],
    ['user', config?.User ?? ''],
    ['entrypoint', JSON.stringify(config?.Entrypoint ?? [])],
    ['cmd', JSON.stringify(config?.Cmd ?? [])],
  ]);
  for (const line of config?.Env ?? []) {
    const at = line.indexOf('=');
    found.set(`env ${at < 0 ? line : line.slice(0, at)}`, at < 0 ? '' : line.slice(at + 1));
  }
  for (const [key, value] of Object.entries(config?.Labels ?? {})) found.set(`label ${key}`, value);
  return found;
}
