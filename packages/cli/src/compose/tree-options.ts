import type { ComposeOptions, ComposeResult, Treefile } from '@atomic/compose';
import type { Metadata, Repo, SignRequest } from '@atomic/ostree';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { collect, sourceDateEpoch } from './common.ts';

/** Options of commands that install packages. */
export interface InstallFlags {
  repo?: string;
  layerRepo?: string;
  cachedir: string;
  sourceRoot?: string;
  proxy?: string;
  workdir?: string;
  dryRun?: boolean;
  printOnly?: boolean;
  downloadOnly?: boolean;
  downloadOnlyRpms?: boolean;
  forceNocache?: boolean;
  cacheOnly?: boolean;
  disableSelinux?: boolean;
  previousCommit?: string;
  previousInputhash?: string;
  previousVersion?: string;
  exLockfile: string[];
  exLockfileStrict?: boolean;
  exWriteLockfileTo?: string;
  variable: string[];
}

/** Options of commands that commit. */
export interface CommitFlags extends SignFlags {
  parent?: string | boolean;
  addMetadataString: string[];
  addMetadataFromJson: string[];
  treeVersion?: string;
  writeCommitidTo?: string;
  writeComposejsonTo?: string;
}

/** Options of commands that sign, as `ostree commit` has them. */
export interface SignFlags {
  gpgSign: string[];
  gpgHomedir?: string;
  sign: string[];
  signType?: string;
  signFromFile: string[];
}

export const CACHEDIR = '/var/cache/atomic/compose';

export const withInstallOptions = (command: Command): Command =>
  command
    .option('--layer-repo <path>', 'repository of the ostree-layers (default: --repo)')
    .option('--cachedir <path>', 'kept between composes: package lists, packages, roots', CACHEDIR)
    .option('--source-root <path>', "repositories and keys of the root there count, instead of this machine's")
    .option('--proxy <url>', 'fetch by way of this proxy')
    .option('--workdir <path>', 'make the tree in a folder there (default: in --cachedir)')
    .option('--dry-run', 'print the packages it would install, and stop')
    .option('--print-only', 'print the treefile with its includes merged, and stop')
    .option('--download-only', 'fetch the packages into the cache, and stop')
    .option('--download-only-rpms', 'the same')
    .option('--force-nocache', 'compose even if nothing changed, with packages installed anew')
    .option('--cache-only', 'do not fetch package lists')
    .option('--disable-selinux', "no SELinux labels, whatever the treefile's says")
    .option('--previous-commit <revision>', "compare with this commit (default: the ref's tip)")
    .option('--previous-inputhash <digest>', 'stop when the input has this hash')
    .option('--previous-version <version>', 'count automatic versions on from this one')
    .option('--ex-lockfile <file>', 'hold packages to the versions of this lock file; may be repeated', collect, [])
    .option('--ex-lockfile-strict', 'refuse packages that no lock file names')
    .option('--ex-write-lockfile-to <file>', 'write the versions of all packages there')
    .option('--variable <name=value>', "set a variable of the treefile's; may be repeated", collect, [])
    .addOption(accepted(command, '--unified-core'))
    .addOption(accepted(command, '--ex-unified-core'));

/** Options of rpm-ostree that say what is always so here. */
export const accepted = (command: Command, flags: string) => command.createOption(flags).hideHelp();

export const withCommitOptions = (command: Command): Command =>
  withSignOptions(
    command
      .option('--parent <revision>', "the commit's parent (default: the ref's tip)")
      .option('--no-parent', 'make a commit without parent')
      .option('--add-metadata-string <key=value>', 'add to the metadata of the commit', collect, [])
      .option('--add-metadata-from-json <file>', 'add an object of JSON to the metadata of the commit', collect, [])
      .option('--tree-version <version>', "the tree's version, instead of the treefile's")
      .option('--write-commitid-to <file>', "write the commit's checksum there, and leave the ref where it is")
      .option('--write-composejson-to <file>', 'write what was composed there, as JSON'),
  );

export const withSignOptions = (command: Command): Command =>
  command
    .option('--gpg-sign <key-id>', 'sign with this GPG key; may be repeated', collect, [])
    .option('--gpg-homedir <path>', 'GnuPG folder with those keys')
    .option('--sign <key>', 'sign with this secret key; may be repeated', collect, [])
    .option('--sign-from-file <file>', 'sign with the secret key in this file; may be repeated', collect, [])
    .option('--sign-type <name>', 'type of those keys: ed25519 or spki', 'ed25519');

/** Reads the treefile a command names. */
export async function readTreefile(
  path: string,
  options: { variable: string[]; disableSelinux?: boolean; sourceRoot?: string },
): Promise<Treefile> {
  const { loadTreefile } = await import('@atomic/compose');
  const variables = new Map<string, string | number | boolean>();
  for (const text of options.variable) {
    const [name, value] = await splitPair('--variable', text);
    // As in a treefile: true, false and whole numbers are what they look like.
    variables.set(
      name,
      value === 'true' || value === 'false' ? value === 'true' : /^\d+$/.test(value) ? Number(value) : value,
    );
  }
  return loadTreefile(path, variables, options);
}

async function splitPair(option: string, text: string): Promise<[string, string]> {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `${option} must be KEY=VALUE, but is '${text}'`);
}

/** What the options of installing mean for an operation. */
export async function installing(ctx: Context, treefile: Treefile, options: InstallFlags) {
  const { readLockfiles } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  return {
    treefile,
    cachedir: options.cachedir,
    cacheOnly: options.cacheOnly,
    sourceRoot: options.sourceRoot,
    proxy: options.proxy,
    workdir: options.workdir,
    forceNoCache: options.forceNocache,
    lock: options.exLockfile.length === 0 ? undefined : readLockfiles(options.exLockfile, options.exLockfileStrict),
    layerRepo: options.layerRepo === undefined ? undefined : Repo.open(options.layerRepo),
    previousVersion: options.previousVersion,
    previousInputHash: options.previousInputhash,
    timestamp: await sourceDateEpoch(),
    signal: ctx.signal,
    progress: ctx.progress,
    wait: ctx.wait,
    onWait: (message: string) => ctx.onWait(message),
  };
}

/** What the options of committing mean for an operation. */
export async function committing(
  repo: Repo,
  options: CommitFlags,
): Promise<Pick<ComposeOptions, 'version' | 'metadata' | 'parent' | 'sign' | 'orphan'>> {
  const { jsonMetadata } = await import('@atomic/compose');
  const { AtomicError, stringVariant } = await import('@atomic/ostree');
  const { readFileSync } = await import('node:fs');
  const metadata: Metadata = new Map();
  for (const file of options.addMetadataFromJson) {
    const data: unknown = parseJson(readFileSync(file, 'utf8'));
    if (data === null || typeof data !== 'object' || Array.isArray(data))
      throw new AtomicError('invalid', `${file} must hold an object of JSON`);
    for (const [key, value] of jsonMetadata(Object.entries(data))) metadata.set(key, value);
  }
  let version = options.treeVersion;
  for (const text of options.addMetadataString) {
    const [key, value] = await splitPair('--add-metadata-string', text);
    if (key === 'version') version ??= value;
    else metadata.set(key, stringVariant(value));
  }
  const parent =
    typeof options.parent === 'string' ? repo.resolveRev(options.parent) : options.parent === false ? null : undefined;
  return { version, metadata, parent, sign: await signing(options), orphan: options.writeCommitidTo !== undefined };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The signatures that options ask for. */
export async function signing(options: SignFlags): Promise<SignRequest | undefined> {
  const { readSecretKeys } = await import('@atomic/ostree');
  const { trustFromEnvironment } = await import('../ostree/trust.ts');
  const type = options.signType ?? 'ed25519';
  const secrets = [...options.sign, ...options.signFromFile.flatMap((file) => readSecretKeys(type, file))];
  if (options.gpgSign.length === 0 && secrets.length === 0) return undefined;
  return { gpg: options.gpgSign, gpgHomedir: options.gpgHomedir, type, secrets, trust: trustFromEnvironment() };
}

/** Writes the files that options ask for after a commit. */
export async function writeResults(
  repo: Repo,
  commit: string,
  options: CommitFlags,
  more: { ref: string | undefined; stats?: ComposeResult['stats'] },
): Promise<void> {
  const { composeJson, writeCommitId } = await import('@atomic/compose');
  const { writeFileSync } = await import('node:fs');
  if (options.writeCommitidTo !== undefined) writeCommitId(options.writeCommitidTo, commit);
  if (options.writeComposejsonTo === undefined) return;
  const ref = options.writeCommitidTo === undefined ? more.ref : undefined;
  const json = composeJson(repo, commit, { ref, stats: more.stats });
  writeFileSync(options.writeComposejsonTo, `${JSON.stringify(json, null, 2)}\n`);
}
