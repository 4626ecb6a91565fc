import type { Json } from '@atomic/ostree';
import type { Family } from './architecture.ts';
import type { VariableValue } from './conditions.ts';
import type { Located } from './where.ts';

export type { Family } from './architecture.ts';
export type { Located } from './where.ts';

/**
 * An extra package repository: a file of the machine's apt configuration or a section of a *.repo file, a one-line
 * entry, or the entry's parts.
 */
export type RepoSpec = string | { url: string; suite: string; components: string[]; 'signed-by'?: string | undefined };

export interface AddFile {
  /** absolute path on this machine, inside the directory of the treefile that names it */
  source: string;
  /** absolute path in the tree */
  destination: string;
}

/** Packages that are to come from one repository. */
export interface RepoPackages {
  repo: string;
  packages: string[];
}

/** What the accounts of a tree are compared with: `data` has their numbers, `file` a passwd(5) or group(5). */
export type AccountCheck<Numbers> =
  | { type: 'none' }
  | { type: 'previous' }
  | { type: 'file'; path: string; text: string }
  | { type: 'data'; entries: Record<string, Numbers> };
/** Of a user: its number, or its and its group's. */
export type UserNumbers = number | [number] | [number, number];

/** A treefile with its includes merged, every path resolved and every variable replaced. */
export interface Treefile {
  path: string;
  /** every file read, the including one last */
  files: string[];
  /** sha256 of all that was read: the treefiles, the files they add, the scripts they run */
  digest: string;
  family: Family;
  /** the architecture it is for, by Node's name: this machine's or, to be composed under emulation, another */
  machine: string;
  variables: ReadonlyMap<string, VariableValue>;
  /** what was said when it was read, and counts more than what it says */
  given: { variables: ReadonlyMap<string, VariableValue>; disableSelinux: boolean };

  // Packages
  releasever: string | undefined;
  packages: Located<string>[];
  excludePackages: string[];
  repoPackages: Located<RepoPackages>[];
  repos: RepoSpec[];
  /** only for packages that a lock file names */
  lockfileRepos: RepoSpec[];
  /** replaced in *.repo files, as `$NAME` */
  repovars: ReadonlyMap<string, string>;
  platformModule: string | undefined;
  suite: string | undefined;
  mirror: string | undefined;
  components: string[] | undefined;
  signedBy: string | undefined;
  recommends: boolean;
  documentation: boolean;
  /** languages to keep; undefined: all */
  installLangs: string[] | undefined;
  /** refs laid over the packages; a file of theirs that is there already is an error */
  ostreeLayers: Located<string>[];
  /** refs laid over those, whatever is there */
  ostreeOverrideLayers: Located<string>[];

  // Content
  units: Located<string>[];
  maskUnits: Located<string>[];
  defaultTarget: string | undefined;
  hostname: string | undefined;
  kernelArguments: string[];
  addFiles: Located<AddFile>[];
  removeFiles: Located<string>[];
  /** files of a package that match one of the regular expressions (as JavaScript has them) go */
  removeFromPackages: Located<{ package: string; patterns: string[] }>[];
  /** script text, run in the tree in this order */
  postprocess: Located<string>[];
  initramfs: {
    packages: string[];
    modules: string[] | undefined;
    addModules: string[];
    drivers: string[];
    args: string[];
  };
  noInitramfs: boolean;
  /** keep atomic and its Node in a compressed file system */
  compressRuntime: boolean;
  readonlyExecutables: boolean;
  /** an empty /etc/machine-id, so that not every boot counts as the first */
  machineidCompat: boolean;
  tmpIsDir: boolean;
  /** `root`: /opt and /usr/local belong to the tree */
  optUsrlocal: 'var' | 'root';
  /** no kernel, no initramfs: for trees that are not booted */
  container: boolean;
  /** undefined: label where the tree has a policy */
  selinux: boolean | undefined;
  selinuxLabelVersion: 0 | 1;

  // Accounts
  preservePasswd: boolean;
  checkPasswd: AccountCheck<UserNumbers>;
  checkGroups: AccountCheck<number>;
  ignoreRemovedUsers: string[];
  ignoreRemovedGroups: string[];

  // Commit
  ref: string | undefined;
  /** further refs the commit is bound to, where it may be promoted to */
  bindRefs: string[];
  version: string | undefined;
  automaticVersionPrefix: string | undefined;
  automaticVersionSuffix: string;
  mutateOsRelease: string | undefined;
  /** seconds since 1970 */
  timestamp: number | undefined;
  /** for the commit */
  metadata: Map<string, Json>;
  /** for whoever reads the treefile */
  information: Map<string, Json>;
  repoMetadata: 'inline' | 'detached' | 'disabled';
  advisoriesMetadata: 'inline' | 'detached' | 'disabled';
  containerCmd: string[] | undefined;
  gpgKey: string | undefined;
}
