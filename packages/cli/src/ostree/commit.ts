import { existsSync, readFileSync } from 'node:fs';
import {
  COMPOSEFS_DIGEST,
  commitTree,
  composefsDigest,
  openCommitPolicy,
  openPolicy,
  type Policy,
  parseRefspec,
  type Repo,
  refreshSummary,
  type TreeSource,
} from '@atomic/ostree';
import { editMessage } from './commit-message.ts';
import {
  detachedOf,
  metadataOf,
  parentOf,
  pathnameFilter,
  skipList,
  statOverrides,
  timestampOf,
  treesOf,
} from './commit-options.ts';
import { type Options, UsageError } from './options.ts';
import { SIGN_FROM_FILE, signOptions, signRequest } from './trust.ts';
import { type Call, COMMON, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

function refuseConflicts(options: Options): void {
  if (options.value('branch') === undefined && !options.flag('orphan')) {
    throw new UsageError('A branch must be specified with --branch, or use --orphan');
  }
  if (options.flag('canonical-permissions')) {
    for (const name of ['owner-uid', 'owner-gid']) {
      if ((options.int(name) ?? 0) > 0) {
        throw new UsageError(`Cannot specify both --canonical-permissions and non-zero --${name}`);
      }
    }
  }
}

/** A number that counts when it is not negative, as stock's owners do. */
function owner(options: Options, name: string): number | undefined {
  const value = options.int(name) ?? -1;
  return value < 0 ? undefined : value;
}

function messageOf(options: Options): { subject: string | undefined; body: string | undefined } {
  const subject = options.value('subject');
  if (options.flag('editor')) return editMessage(options.value('branch'), subject);
  const file = options.value('body-file');
  return { subject, body: file === undefined ? options.value('body') : readFileSync(file, 'utf8') };
}

/** The policy whose labels files get: of a folder, or of the tree the commit starts from. */
async function policyOf(repo: Repo, options: Options, trees: readonly TreeSource[]): Promise<Policy | null> {
  const root = options.value('selinux-policy');
  const fromBase = options.flag('selinux-policy-from-base');
  if (root !== undefined && fromBase)
    throw new UsageError('Cannot specify both --selinux-policy and --selinux-policy-from-base');
  if (root !== undefined) {
    if (!existsSync(root)) throw new UsageError(`opendir(${root}): No such file or directory`);
    return openPolicy(root);
  }
  if (!fromBase) return null;
  const base = options.value('base');
  const first = trees[0];
  if (base !== undefined) return await openCommitPolicy(repo, base);
  if (first === undefined) return null;
  if ('tar' in first) throw new UsageError('Cannot use --selinux-policy-from-base with tar');
  if ('dir' in first) return openPolicy(first.dir);
  return 'ref' in first ? await openCommitPolicy(repo, first.ref) : null;
}

/** From epoch 1 on `/usr/etc` is labelled as the `/etc` it becomes. */
function labeller(policy: Policy | null, epoch: number): ((path: string, mode: number) => string | null) | undefined {
  if (epoch !== 0 && epoch !== 1) throw new UsageError(`Unknown SELinux labeling epoch: ${epoch}`);
  if (policy === null) return undefined;
  return (path, mode) => policy.label(epoch === 1 && /^\/usr\/etc(\/|$)/.test(path) ? path.slice(4) : path, mode);
}

async function run(call: Call): Promise<void> {
  const { ctx, options, args } = call;
  const repo = openRepo(call);
  const overrides = statOverrides(options.value('statoverride'));
  const skip = skipList(options.value('skip-list'));
  refuseConflicts(options);
  const branch = options.value('branch');
  if (branch !== undefined) parseRefspec(branch);
  if (options.boolean('fsync') === false || options.flag('disable-fsync')) repo.config.set('core', 'fsync', 'false');
  const parent = parentOf(repo, options);
  const metadata = metadataOf(repo, options, parent);
  const trees = treesOf(options, args);
  using policy = await policyOf(repo, options, trees);
  const result = await commitTree(repo, {
    trees,
    label: labeller(policy, options.int('selinux-labeling-epoch') ?? 0),
    base: options.value('base'),
    tar: {
      autocreateParents: options.flag('tar-autocreate-parents'),
      rename: pathnameFilter(options.value('tar-pathname-filter')),
    },
    branch,
    parent,
    ...messageOf(options),
    timestamp: timestampOf(options),
    metadata,
    detached: detachedOf(options),
    sign: signRequest(options, options.list('sign-from-file'), ctx.signal),
    uid: owner(options, 'owner-uid'),
    gid: owner(options, 'owner-gid'),
    canonicalPermissions: options.flag('canonical-permissions'),
    roExecutables: options.flag('mode-ro-executables'),
    noXattrs: options.flag('no-xattrs'),
    ...overrides,
    skip,
    generateSizes: options.flag('generate-sizes'),
    skipIfUnchanged: options.flag('skip-if-unchanged'),
    bootable: options.flag('bootable'),
    treeMetadata: options.flag('generate-composefs-metadata')
      ? async (tree, meta) =>
          new Map([[COMPOSEFS_DIGEST, { type: 'ay', value: await composefsDigest(repo, tree, meta) }]])
      : undefined,
    linkSpeedup: options.flag('link-checkout-speedup'),
    canonicalDevices: options.flag('devino-canonical'),
    consume: options.flag('consume'),
    cache: !options.flag('no-cache'),
    onUnmatched: (list, path) => ctx.warn(`Unmatched ${list} path: ${path}`),
    wait: ctx.wait,
    onWait: ctx.onWait,
    signal: ctx.signal,
    progress: ctx.progress,
  });
  if (result.changed && branch !== undefined) await refreshSummary(repo, ctx);
  const { entries, stats } = result;
  if (ctx.json) {
    const { metadataWritten, contentWritten, contentBytes } = stats;
    ctx.printJson({
      commit: result.commit,
      changed: result.changed,
      ...entries,
      metadataWritten,
      contentWritten,
      contentBytes,
    });
  } else if (options.flag('table-output')) {
    ctx.print(`Commit: ${result.commit}`);
    ctx.print(`Metadata Total: ${stats.metadataTotal}\nMetadata Written: ${stats.metadataWritten}`);
    ctx.print(`Content Total: ${stats.contentTotal}\nContent Written: ${stats.contentWritten}`);
    ctx.print(`Content Cache Hits: ${stats.deviceHits}\nContent Bytes Written: ${stats.contentBytes}`);
  } else ctx.print(result.commit);
}

export const verb: Verb = {
  args: '[PATH]',
  summary: 'Commit a new revision',
  options: [
    REPO,
    { long: 'parent', arg: 'COMMIT', text: 'Parent commit checksum, or "none"' },
    { long: 'subject', short: 's', arg: 'SUBJECT', text: 'One line subject' },
    { long: 'body', short: 'm', arg: 'BODY', text: 'Full description' },
    { long: 'body-file', short: 'F', arg: 'FILE', text: 'Commit message from FILE path' },
    { long: 'branch', short: 'b', arg: 'BRANCH', text: 'Branch' },
    { long: 'editor', short: 'e', text: 'Use an editor to write the commit message' },
    { long: 'orphan', text: 'Create a commit without writing a ref' },
    { long: 'no-bindings', text: 'Do not write any ref bindings' },
    { long: 'bind-ref', arg: 'BRANCH', text: 'Add a ref to ref binding commit metadata' },
    { long: 'base', arg: 'REV', text: 'Start from the given commit as a base (no modifiers apply)' },
    { long: 'tree', arg: 'dir=PATH or tar=TARFILE or ref=COMMIT', text: 'Overlay the given argument as a tree' },
    { long: 'add-metadata-string', arg: 'KEY=VALUE', text: 'Add a key/value pair to metadata' },
    {
      long: 'add-metadata',
      arg: 'KEY=VALUE',
      text: 'Add a key/value pair to metadata, where the KEY is a string, and VALUE is in GVariant Text Format',
    },
    { long: 'keep-metadata', arg: 'KEY', text: 'Keep metadata KEY and its associated VALUE from parent' },
    { long: 'add-detached-metadata-string', arg: 'KEY=VALUE', text: 'Add a key/value pair to detached metadata' },
    { long: 'owner-uid', arg: 'UID', int: true, text: 'Set file ownership user id' },
    { long: 'owner-gid', arg: 'GID', int: true, text: 'Set file ownership group id' },
    {
      long: 'canonical-permissions',
      text: 'Canonicalize permissions in the same way bare-user does for hardlinked files',
    },
    { long: 'bootable', text: 'Flag this commit as a bootable OSTree (e.g. contains a Linux kernel)' },
    { long: 'mode-ro-executables', text: 'Ensure executable files are not writable' },
    { long: 'no-xattrs', text: 'Do not import extended attributes' },
    {
      long: 'selinux-policy',
      arg: 'PATH',
      text: 'Set SELinux labels based on policy in root filesystem PATH (may be /)',
    },
    {
      long: 'selinux-policy-from-base',
      short: 'P',
      text: 'Set SELinux labels based on first --tree argument',
    },
    {
      long: 'selinux-labeling-epoch',
      arg: 'EPOCH',
      int: true,
      text: 'Configure the default SELinux labeling rules; 0 is the default, 1 enables labeling /usr/etc as /etc',
    },
    { long: 'link-checkout-speedup', text: 'Optimize for commits of trees composed of hardlinks into the repository' },
    {
      long: 'devino-canonical',
      short: 'I',
      text: 'Assume hardlinked objects are unmodified.  Implies --link-checkout-speedup',
    },
    {
      long: 'tar-autocreate-parents',
      text: 'When loading tar archives, automatically create parent directories as needed',
    },
    {
      long: 'tar-pathname-filter',
      arg: 'REGEX,REPLACEMENT',
      text: 'When loading tar archives, use REGEX,REPLACEMENT against path names',
    },
    { long: 'skip-if-unchanged', text: 'If the contents are unchanged from previous commit, do nothing' },
    { long: 'statoverride', arg: 'PATH', text: 'File containing list of modifications to make to permissions' },
    { long: 'skip-list', arg: 'PATH', text: 'File containing list of files to skip' },
    { long: 'consume', text: 'Consume (delete) content after commit (for local directories)' },
    { long: 'table-output', text: 'Output more information in a KEY: VALUE format' },
    ...signOptions('commit'),
    SIGN_FROM_FILE,
    { long: 'generate-sizes', text: 'Generate size information along with commit metadata' },
    { long: 'generate-composefs-metadata', text: 'Generate composefs commit metadata' },
    { long: 'disable-fsync', text: 'Do not invoke fsync()', hidden: true },
    { long: 'fsync', arg: 'POLICY', text: 'Specify how to invoke fsync()' },
    { long: 'timestamp', arg: 'TIMESTAMP', text: 'Override the timestamp of the commit' },
    ...COMMON,
    { long: 'json', text: 'Print the result as JSON', ours: true },
    NO_WAIT,
    {
      long: 'no-cache',
      text: 'Read every file, even those known to be unchanged since they were committed',
      ours: true,
    },
  ],
  examples: [
    'ostree commit --repo=repo --branch=main --subject="First" tree',
    'ostree commit --repo=repo --branch=main --tree=ref=base --tree=dir=overlay --timestamp=@0',
    'ostree commit --repo=repo --branch=main --tree=tar=layer.tar.gz --tar-autocreate-parents',
  ],
  run,
};
