import { existsSync, readFileSync } from 'node:fs';
import {
  AtomicError,
  type CheckoutOptions,
  type CheckoutResult,
  checkout,
  checkoutComposefs,
  explain,
  openPolicy,
  type Policy,
  type Repo,
} from '@atomic/ostree';
import { UsageError } from './options.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

/** Options that, in stock, leave the old interface: without them an archive repository's cache is used. */
const NEW_INTERFACE = [
  'disable-cache',
  'whiteouts',
  'require-hardlinks',
  'union-add',
  'force-copy',
  'force-copy-zerosized',
  'bareuseronly-dirs',
  'union-identical',
  'skip-list',
  'selinux-policy',
  'selinux-prefix',
  'process-passthrough-whiteouts',
];

function chosenUnion({ options }: Call): CheckoutOptions['union'] {
  const chosen = ['union', 'union-add', 'union-identical'].filter((name) => options.flag(name));
  if (chosen.length > 1) throw new UsageError(`Cannot specify both --${chosen[0]} and --${chosen[1]}`);
  if (options.flag('union')) return 'overwrite';
  if (options.flag('union-add')) return 'add';
  return options.flag('union-identical') ? 'identical' : 'none';
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw explain(error, path);
  }
}

/** Paths to leave out, one a line; a directory may be given with or without a slash at its end. */
function skipFilter(file: string | undefined): ((path: string) => boolean) | undefined {
  if (file === undefined) return undefined;
  const skipped = new Set(readText(file).split('\n'));
  return (path) => !skipped.has(path) && !skipped.has(`${path}/`);
}

function checkoutOptions(call: Call, policy: Policy | null): CheckoutOptions {
  const { ctx, options } = call;
  const union = chosenUnion(call);
  const policyRoot = options.value('selinux-policy');
  const prefix = options.value('selinux-prefix');
  const requireHardlinks = options.flag('require-hardlinks');
  const forceCopy = options.flag('force-copy') || policyRoot !== undefined;
  if (requireHardlinks && forceCopy) {
    throw new UsageError('Cannot specify both --require-hardlinks and --force-copy');
  }
  if (prefix !== undefined && policyRoot === undefined) {
    throw new UsageError('Cannot specify --selinux-prefix without --selinux-policy');
  }
  if (union === 'identical' && !requireHardlinks) {
    throw new UsageError('--union-identical requires --require-hardlinks');
  }
  return {
    user: options.flag('user-mode'),
    union,
    requireHardlinks,
    forceCopy,
    bareUserOnlyDirs: options.flag('bareuseronly-dirs'),
    whiteouts: options.flag('whiteouts'),
    passthroughWhiteouts: options.flag('process-passthrough-whiteouts'),
    filter: skipFilter(options.value('skip-list')),
    cache: !usesNewInterface(call),
    ...(policy === null ? {} : { selinux: { label: policy.label, prefix } }),
    signal: ctx.signal,
    progress: ctx.progress,
  };
}

const usesNewInterface = ({ options }: Call): boolean =>
  NEW_INTERFACE.some((name) => options.value(name) !== undefined);

const isMissing = (error: unknown): boolean =>
  error instanceof AtomicError && error.message.startsWith('No such file or directory');

/** Commits and subpaths, each ended by a NUL, in turns: what `--from-stdin` and `--from-file` read. */
function* pairs(text: string): Generator<{ rev: string; subpath: string }> {
  const fields = text.split('\0');
  for (let i = 0; i < fields.length && fields[i] !== ''; i += 2) {
    yield { rev: fields[i] ?? '', subpath: fields[i + 1] ?? '' };
  }
}

/** The policy to label by; null when none is asked for, or it is switched off there. */
function policyOf({ options }: Call): Policy | null {
  const root = options.value('selinux-policy');
  if (root === undefined) return null;
  if (!existsSync(root)) throw new UsageError(`selinux-policy: opendir(${root}): No such file or directory`);
  return openPolicy(root);
}

async function composefs(call: Call, repo: Repo, rev: string, destination: string): Promise<null> {
  const { options, ctx } = call;
  if (usesNewInterface(call)) throw new UsageError('Specified options are incompatible with --composefs');
  const verity = options.flag('composefs-noverity') ? 'no' : 'yes';
  await checkoutComposefs(repo, rev, destination, { verity, signal: ctx.signal });
  return null;
}

async function one(
  call: Call,
  repo: Repo,
  rev: string,
  subpath: string | undefined,
  destination: string,
): Promise<CheckoutResult | null> {
  if (call.options.flag('composefs') || call.options.flag('composefs-noverity')) {
    return await composefs(call, repo, rev, destination);
  }
  using policy = policyOf(call);
  try {
    return await checkout(repo, rev, destination, { ...checkoutOptions(call, policy), subpath });
  } catch (error) {
    const tolerated = call.options.flag('allow-noent') && !usesNewInterface(call);
    if (!tolerated || subpath === undefined || !isMissing(error)) throw error;
    return null;
  }
}

async function run(call: Call): Promise<void> {
  const { ctx, options } = call;
  const repo = openRepo(call);
  if (options.boolean('fsync') === false) repo.config.set('core', 'fsync', 'false');
  const [first, second] = call.args;
  const rev = required(first, 'COMMIT must be specified');
  const file = options.value('from-file');
  const results: (CheckoutResult | null)[] = [];
  if (options.flag('from-stdin') || file !== undefined) {
    const text = options.flag('from-stdin') ? readFileSync(0, 'utf8') : readText(file ?? '');
    for (const pair of pairs(text)) {
      const checksum = repo.resolveRev(pair.rev);
      try {
        results.push(await one(call, repo, checksum, pair.subpath, rev));
      } catch (error) {
        if (!(error instanceof AtomicError)) throw error;
        throw new AtomicError(error.code, `Processing tree ${checksum}: ${error.message}`, { hint: error.hint });
      }
    }
  } else {
    results.push(await one(call, repo, repo.resolveRev(rev), options.value('subpath'), second ?? rev));
  }
  if (!ctx.json) return;
  const sum = (field: keyof CheckoutResult): number => results.reduce((total, one) => total + (one?.[field] ?? 0), 0);
  ctx.printJson({
    files: sum('files'),
    directories: sum('directories'),
    linked: sum('linked'),
    copied: sum('copied'),
  });
}

export const verb: Verb = {
  args: 'COMMIT [DESTINATION]',
  summary: 'Check out a commit into a filesystem tree',
  options: [
    REPO,
    { long: 'user-mode', short: 'U', text: 'Do not change file ownership or initialize extended attributes' },
    { long: 'disable-cache', text: 'Do not update or use the internal repository uncompressed object cache' },
    { long: 'subpath', arg: 'PATH', text: 'Checkout sub-directory PATH' },
    { long: 'union', text: 'Keep existing directories, overwrite existing files' },
    { long: 'union-add', text: 'Keep existing files/directories, only add new' },
    {
      long: 'union-identical',
      text: 'When layering checkouts, error out if a file would be replaced with a different version, but add new files and directories',
    },
    { long: 'whiteouts', text: "Process 'whiteout' (Docker style) entries" },
    {
      long: 'process-passthrough-whiteouts',
      text: 'Enable overlayfs whiteout extraction into char 0:0 devices',
    },
    { long: 'allow-noent', text: 'Do nothing if specified path does not exist' },
    { long: 'from-stdin', text: 'Process many checkouts from standard input' },
    { long: 'from-file', arg: 'FILE', text: 'Process many checkouts from input file' },
    { long: 'fsync', arg: 'POLICY', text: 'Specify how to invoke fsync()' },
    { long: 'require-hardlinks', short: 'H', text: 'Do not fall back to full copies if hardlinking fails' },
    { long: 'force-copy-zerosized', short: 'z', text: 'Do not hardlink zero-sized files', hidden: true },
    { long: 'force-copy', short: 'C', text: 'Never hardlink (but may reflink if available)' },
    {
      long: 'bareuseronly-dirs',
      short: 'M',
      text: 'Suppress mode bits outside of 0775 for directories (suid, world writable, etc.)',
    },
    { long: 'skip-list', arg: 'FILE', text: 'File containing list of files to skip' },
    {
      long: 'selinux-policy',
      arg: 'PATH',
      text: 'Set SELinux labels based on policy in root filesystem PATH (may be /); implies --force-copy',
    },
    { long: 'selinux-prefix', arg: 'PREFIX', text: 'When setting SELinux labels, prefix all paths by PREFIX' },
    { long: 'composefs', text: 'Only create a composefs blob' },
    { long: 'composefs-noverity', text: 'Only create a composefs blob, and disable fsverity' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: [
    'ostree checkout --repo=repo main tree',
    'ostree checkout --repo=repo -U --subpath=/usr/etc main etc',
    'ostree checkout --repo=repo --union --whiteouts layer tree',
  ],
  run,
};
