import { evrOf, readFolderPackages } from '@atomic/pkgdb';
import type { Package } from './manager.ts';

/** Packages installed in a root, by whichever package manager; none where it has no database. */
export const listInstalled = (root: string): Package[] =>
  (readFolderPackages(root) ?? []).map((one) => ({ name: one.name, version: evrOf(one), architecture: one.arch }));
