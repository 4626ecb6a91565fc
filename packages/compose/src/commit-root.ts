import {
  AtomicError,
  byteswap,
  type Checksum,
  commitTree,
  type Metadata,
  openPolicy,
  type Policy,
  type Progress,
  type Repo,
  type SignRequest,
  stringVariant,
  type TransactionStats,
} from '@atomic/ostree';
import { treeInitramfsMetadata } from '@atomic/sysroot';
import { ARCHITECTURE, jsonMetadata } from './commit-metadata.ts';
import type { PackageManager } from './packages/manager.ts';
import { packageMetadata } from './packages/package-metadata.ts';
import { publish } from './publish/publish.ts';
import { baseArchitecture } from './treefile/architecture.ts';
import type { Treefile } from './treefile/treefile.ts';

/** The key rpm-ostree keeps the same thing under. */
export const INPUT_HASH = 'rpmostree.inputhash';

export interface CommitRootOptions {
  treefile: Treefile;
  repo: Repo;
  manager: PackageManager;
  parent: Checksum | null;
  version: string | undefined;
  /** Unix seconds */
  timestamp: number;
  inputHash?: string | undefined;
  kernel: string | undefined;
  /** wins over the treefile's */
  metadata?: Metadata | undefined;
  /** further signatures than the treefile's gpg-key */
  sign?: SignRequest | undefined;
  /** leave the ref where it is */
  orphan?: boolean | undefined;
  wait?: boolean | undefined;
  onWait?: ((message: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** The signatures a compose makes: those asked for, and the treefile's. */
export function signRequest(treefile: Treefile, sign: SignRequest | undefined): SignRequest | undefined {
  if (treefile.gpgKey === undefined) return sign;
  return { ...sign, gpg: [...new Set([...(sign?.gpg ?? []), treefile.gpgKey])] };
}

/** Commits a root that has the shape of a deployment, moves the ref, updates the summary. */
export async function commitRoot(
  root: string,
  options: CommitRootOptions,
): Promise<{ commit: Checksum; tree: Checksum; stats: TransactionStats }> {
  const { treefile, repo, signal, progress, wait, onWait } = options;
  using policy = policyOf(root, treefile);
  const { inline, detached } = await metadataOf(root, options);
  const result = await commitTree(repo, {
    trees: [{ dir: root }],
    branch: options.orphan ? undefined : treefile.ref,
    parent: options.parent,
    timestamp: options.timestamp,
    metadata: inline,
    detached: detached.size === 0 ? undefined : detached,
    sign: signRequest(treefile, options.sign),
    roExecutables: treefile.readonlyExecutables,
    label: policy === null ? undefined : labeller(policy, treefile.selinuxLabelVersion),
    signal,
    progress,
    wait,
    onWait,
  });
  if (!options.orphan) await publish(repo, { sign: options.sign, signal, wait, onWait });
  return { commit: result.commit, tree: result.tree, stats: result.stats };
}

function policyOf(root: string, { selinux, path }: Treefile): Policy | null {
  if (selinux === false) return null;
  const policy = openPolicy(root);
  if (policy === null && selinux === true)
    throw new AtomicError('not-found', `${path}: 'selinux' is true, but the tree has no SELinux policy`, {
      hint: 'add a package with one, such as selinux-policy-default or selinux-policy-targeted',
    });
  return policy;
}

/** In version 1 /usr/etc has the labels of the /etc it becomes. */
const labeller =
  (policy: Policy, version: 0 | 1) =>
  (path: string, mode: number): string | null =>
    policy.label(version === 1 && /^\/usr\/etc(\/|$)/.test(path) ? path.slice('/usr'.length) : path, mode);

async function metadataOf(root: string, options: CommitRootOptions): Promise<{ inline: Metadata; detached: Metadata }> {
  const { treefile, repo, manager, version, kernel, inputHash, signal } = options;
  const inline: Metadata = new Map();
  const detached: Metadata = new Map();
  const refs = [...new Set([...(treefile.ref === undefined ? [] : [treefile.ref]), ...treefile.bindRefs])];
  const collection = repo.config.get('core', 'collection-id');
  if (version !== undefined) inline.set('version', stringVariant(version));
  if (kernel !== undefined) {
    inline.set('ostree.linux', stringVariant(kernel));
    inline.set('ostree.bootable', { type: 'b', value: true });
  }
  // What `uname -m` says on it.
  inline.set(ARCHITECTURE, stringVariant(baseArchitecture('rpm', treefile.machine)));
  // In the order that stock's commit has them in.
  inline.set('ostree.ref-binding', { type: 'as', value: refs.sort((a, b) => (a < b ? -1 : 1)) });
  if (collection !== undefined) inline.set('ostree.collection-binding', stringVariant(collection));
  if (inputHash !== undefined) inline.set(INPUT_HASH, stringVariant(inputHash));
  if (treefile.kernelArguments.length > 0)
    inline.set('atomic.kernel-arguments', { type: 'as', value: treefile.kernelArguments });
  if (treefile.containerCmd !== undefined)
    inline.set('ostree.container-cmd', { type: 'as', value: treefile.containerCmd });
  for (const [key, value] of treeInitramfsMetadata(treefile.initramfs)) inline.set(key, value);
  const advisories = treefile.advisoriesMetadata;
  for (const [key, value] of await packageMetadata(root, manager, { advisories: advisories !== 'disabled', signal }))
    (key === 'rpmostree.advisories' && advisories === 'detached' ? detached : inline).set(key, value);
  if (treefile.repoMetadata !== 'disabled') {
    const repos = manager.repositories().map(({ id, timestamp }) => [
      ['id', stringVariant(id)],
      // Big-endian, as all numbers in commits.
      ...(timestamp === null ? [] : [['timestamp', { type: 't', value: byteswap('t', BigInt(timestamp)) }]]),
    ]);
    (treefile.repoMetadata === 'inline' ? inline : detached).set('rpmostree.rpmmd-repos', {
      type: 'aa{sv}',
      value: repos,
    });
  }
  for (const [key, value] of jsonMetadata(treefile.metadata)) inline.set(key, value);
  for (const [key, value] of options.metadata ?? []) inline.set(key, value);
  return { inline, detached };
}
