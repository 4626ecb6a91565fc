import { spawn } from 'node:child_process';
import { chmodSync, closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { enableVerity, errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Repo } from '../repo/repo.ts';
import { type TreeDirectory, treeOf, treeRoot } from '../repo/tree.ts';
import { composefsDump, type Verity } from './dump.ts';

/** The key of the image's digest in a commit's metadata: 32 bytes. */
export const COMPOSEFS_DIGEST = 'ostree.composefs.digest.v0';

export interface ComposefsOptions {
  verity?: Verity | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Writes the composefs image of a commit's tree to `destination` and returns its fs-verity digest. With verity (the
 * default) a digest in the commit's metadata must be the image's. The image itself is made by composefs' own tool;
 * throws `unsupported` where that is not installed.
 */
export async function checkoutComposefs(
  repo: Repo,
  rev: string,
  destination: string,
  options: ComposefsOptions = {},
): Promise<Buffer> {
  const verity = options.verity ?? 'yes';
  const commit = repo.loadCommit(repo.resolveRev(rev));
  const aside = `${destination}.atomic-${process.pid}`;
  try {
    const digest = await makeImage(repo, treeRoot(repo, rev), aside, { ...options, verity });
    const expected = commit.metadata.get(COMPOSEFS_DIGEST)?.value;
    if (verity === 'yes' && expected !== undefined) checkDigest(digest, expected);
    chmodSync(aside, 0o644);
    if (wantsVerity(repo)) seal(aside);
    renameSync(aside, destination);
    return digest;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** The digest that the image of a stored tree has: what `commit --generate-composefs-metadata` records. */
export function composefsDigest(
  repo: Repo,
  tree: Checksum,
  meta: Checksum,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Buffer> {
  return makeImage(repo, treeOf(repo, tree, meta), null, { ...options, verity: 'yes' });
}

function checkDigest(digest: Buffer, expected: unknown): void {
  if (!(expected instanceof Uint8Array) || expected.length !== 32)
    throw new AtomicError('invalid', 'Expected composefs fs-verity in metadata has the wrong size');
  if (digest.equals(expected)) return;
  throw new AtomicError(
    'corrupt',
    `Generated composefs image digest (${digest.toString('hex')}) doesn't match expected digest (${Buffer.from(expected).toString('hex')})`,
  );
}

const wantsVerity = (repo: Repo): boolean =>
  ['yes', 'maybe', 'true', '1'].includes(repo.config.get('ex-integrity', 'fsverity') ?? 'no');

function seal(path: string): void {
  const fd = openSync(path, 'r');
  try {
    enableVerity(fd);
  } finally {
    closeSync(fd);
  }
}

/** Runs mkcomposefs on a dump; `image` null computes the digest only. */
async function makeImage(
  repo: Repo,
  root: TreeDirectory,
  image: string | null,
  { verity, signal }: { verity: Verity; signal?: AbortSignal | undefined },
): Promise<Buffer> {
  const output = image === null ? ['--print-digest-only'] : ['--print-digest'];
  const args = [
    '--from-file',
    '--min-version=0',
    '--max-version=1',
    ...output,
    '-',
    ...(image === null ? [] : [image]),
  ];
  const tool = spawn('mkcomposefs', args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(signal === undefined ? {} : { signal }),
  });
  const said = { out: '', err: '' };
  tool.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out = (said.out + text).slice(0, 4096);
  });
  tool.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err = (said.err + text).slice(0, 4096);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    tool.on('error', reject);
    tool.on('close', resolve);
  });
  // Whoever fails first says why: a tool that died explains itself better than the broken pipe to it.
  const fed = pipeline(Readable.from(composefsDump(repo, root, verity, signal)), tool.stdin).then(
    () => null,
    (error: unknown) => {
      tool.stdin.destroy();
      return errnoCode(error) === 'EPIPE' ? null : { error };
    },
  );
  let status: number | null;
  try {
    status = await ended;
  } catch (error) {
    if (errnoCode(error) !== 'ENOENT') throw error;
    throw new AtomicError('unsupported', 'composefs images need the program mkcomposefs, which is not installed', {
      hint: 'install the package composefs (in Debian: testing and newer)',
      cause: error,
    });
  }
  const failure = await fed;
  if (failure !== null) throw failure.error;
  const digest = said.out.trim();
  if (status !== 0 || !/^[0-9a-f]{64}$/.test(digest))
    throw new AtomicError('failed', `Writing composefs: mkcomposefs: ${said.err.trim() || `exit status ${status}`}`);
  return Buffer.from(digest, 'hex');
}
