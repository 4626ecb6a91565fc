import type { Located } from './where.ts';

export type { Located } from './where.ts';

/** An extra package repository: a file of the machine's apt configuration, a one-line entry, or the entry's parts. */
export type RepoSpec = string | { url: string; suite: string; components: string[]; 'signed-by'?: string | undefined };

export interface AddFile {
  /** absolute path on this machine, inside the directory of the treefile that names it */
  source: string;
  /** absolute path in the tree */
  destination: string;
}

/** A treefile with its includes merged, every path resolved and every variable replaced. */
export interface Treefile {
  path: string;
  /** every file read, the including one last */
  files: string[];
  /** sha256 of all that was read: the treefiles, the files they add, the scripts they run */
  digest: string;
  ref: string | undefined;
  releasever: string | undefined;
  packages: Located<string>[];
  excludePackages: string[];
  repos: RepoSpec[];
  suite: string | undefined;
  mirror: string | undefined;
  components: string[] | undefined;
  signedBy: string | undefined;
  recommends: boolean;
  documentation: boolean;
  units: Located<string>[];
  maskUnits: Located<string>[];
  defaultTarget: string | undefined;
  hostname: string | undefined;
  kernelArguments: string[];
  addFiles: Located<AddFile>[];
  removeFiles: Located<string>[];
  /** script text, run in the tree in this order */
  postprocess: Located<string>[];
  version: string | undefined;
  automaticVersionPrefix: string | undefined;
  mutateOsRelease: string | undefined;
  /** seconds since 1970 */
  timestamp: number | undefined;
  initramfs: {
    packages: string[];
    modules: string[] | undefined;
    addModules: string[];
    drivers: string[];
    args: string[];
  };
  metadata: Map<string, string | boolean | number>;
}
