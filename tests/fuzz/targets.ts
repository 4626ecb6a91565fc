import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AtomicError,
  applyChangeset,
  applyDeltaPart,
  commitTree,
  decode,
  decodeSignatures,
  decodeVardict,
  encode,
  encodeVardict,
  KeyFile,
  listCookies,
  listTree,
  parseArchiveHeader,
  parseBareUserMeta,
  parseCommit,
  parseDeltaIndex,
  parseDeltaName,
  parseDirMeta,
  parseDirTree,
  parseRefspec,
  parseSummary,
  parseSuperblock,
  parseVariantText,
  print,
  Repo,
  remoteAdd,
  serializeDirMeta,
  serializeDirTree,
  summaryCollectionRefs,
} from '@atomic/ostree';
import { bspatch } from '../../packages/ostree/src/delta/bspatch.ts';
import { bufferSource } from '../../packages/ostree/src/delta/bytes.ts';
import { readSteps } from '../../packages/ostree/src/delta/operations.ts';
import { parsePart } from '../../packages/ostree/src/delta/part.ts';
import { parseType } from '../../packages/ostree/src/gvariant/type.ts';
import { commitSizes } from '../../packages/ostree/src/objects/commit-sizes.ts';
import { parseMirrorlist } from '../../packages/ostree/src/pull/endpoint.ts';
import { parseMetalink } from '../../packages/ostree/src/pull/metalink.ts';
import { RemoteSummary } from '../../packages/ostree/src/pull/remote-summary.ts';
import { parseRequested } from '../../packages/ostree/src/pull/requested.ts';
import { readRefFile } from '../../packages/ostree/src/repo/refs.ts';
import { parseKeyListing } from '../../packages/ostree/src/sign/gpg-keys.ts';
import { parseVerifyStatus } from '../../packages/ostree/src/sign/gpg-verify.ts';
import { signaturePackets } from '../../packages/ostree/src/sign/openpgp.ts';
import { archiveEntries } from '../../packages/ostree/src/tar/read-archive.ts';
import { makeOldTree } from './old-tree.ts';

/** One parser and what it begins with. */
export interface Target {
  name: string;
  /** Seeds: files of corpus/ whose name is this, a dash and a number. */
  corpus: string;
  /** May throw AtomicError and nothing else. */
  run: (bytes: Buffer) => unknown;
  /** Inputs of the fixed part, when it is not the usual number: slow ones get fewer. */
  inputs?: number;
}

/** A parser and its serialiser: what is read has one spelling only. */
const roundTrip =
  <T>(read: (bytes: Buffer) => T, write: (value: T) => Buffer) =>
  (bytes: Buffer): void =>
    assert.deepEqual(write(read(bytes)), bytes);

const VARIANTS = ['a{sv}', 'v', 'aas', 'mmay', '(yub)', 'a(a(say)a(sayay))', 'maay', 'a{u(tnd)}', '(sogi)', 'amv'];

/** All targets; `scratch` is for the repositories some of them need. */
export async function makeTargets(scratch: string): Promise<Target[]> {
  const repo = Repo.create(join(scratch, 'repo'), { mode: 'bare-user' });
  repo.config.set('core', 'fsync', 'false');
  remoteAdd(repo, 'o', 'http://127.0.0.1:9/', {});
  const old = join(scratch, 'old');
  mkdirSync(old);
  makeOldTree(old);
  await commitTree(repo, { trees: [{ dir: old }], branch: 'old', uid: 0, gid: 0, noXattrs: true });
  const superblock = parseSuperblock(readFileSync(join(import.meta.dirname, 'corpus/superblock-1')));
  const header = superblock.parts[0];
  if (header === undefined) throw new TypeError('the seed has a part');
  const aside = mkdtempSync(join(scratch, 'files-'));
  const fileTarget =
    (name: string, read: (path: string) => unknown) =>
    (bytes: Buffer): unknown => {
      const path = join(aside, name);
      writeFileSync(path, bytes);
      const value = read(path);
      assert.deepEqual(readdirSync(aside), [name]);
      return value;
    };
  return [
    { name: 'variant type', corpus: 'type', run: (bytes) => parseType(bytes.toString('latin1')) },
    {
      name: 'variant',
      corpus: 'commit',
      run: (bytes) => {
        const type = VARIANTS[(bytes[0] ?? 0) % VARIANTS.length] ?? 'v';
        roundTrip(
          (body) => decode(type, body),
          (value) => encode(type, value),
        )(Buffer.from(bytes.subarray(1)));
      },
    },
    {
      name: 'variant text',
      corpus: 'text',
      run: (bytes) => {
        const { type, value } = parseVariantText(bytes.toString());
        const text = print(type, value);
        assert.equal(print(type, parseVariantText(text, type).value), text);
      },
    },
    {
      name: 'commit',
      corpus: 'commit',
      run: (bytes) => {
        const commit = parseCommit(bytes);
        return commitSizes(commit.metadata);
      },
    },
    { name: 'detached metadata', corpus: 'commitmeta', run: roundTrip(decodeVardict, encodeVardict) },
    { name: 'dirtree', corpus: 'dirtree', run: roundTrip(parseDirTree, serializeDirTree) },
    { name: 'dirmeta', corpus: 'dirmeta', run: roundTrip(parseDirMeta, serializeDirMeta) },
    { name: 'file header, archive', corpus: 'filez', run: parseArchiveHeader },
    { name: 'file header, bare-user', corpus: 'dirmeta', run: parseBareUserMeta },
    {
      name: 'summary',
      corpus: 'summary',
      run: (bytes) => {
        summaryCollectionRefs(parseSummary(bytes));
        return new RemoteSummary(bytes);
      },
    },
    {
      name: 'delta superblock',
      corpus: 'superblock',
      run: (bytes) => {
        const parsed = parseSuperblock(bytes);
        parsed.parts.forEach((_, index) => {
          parsed.inlinePart(index);
        });
      },
    },
    { name: 'delta index', corpus: 'index', run: parseDeltaIndex },
    {
      name: 'delta part',
      corpus: 'part',
      inputs: 1500,
      run: async (bytes) => {
        await using transaction = await repo.begin();
        await applyDeltaPart(transaction, header, bytes, { verify: false });
      },
    },
    {
      // Past what protects a packed one: every table, operation and patch is reached.
      name: 'delta part, not packed',
      corpus: 'part-unpacked',
      inputs: 1500,
      run: async (bytes) => {
        await using transaction = await repo.begin();
        await applyDeltaPart(transaction, header, Buffer.concat([Buffer.alloc(1), bytes]), { verify: false });
      },
    },
    {
      name: 'delta part, unpacked',
      corpus: 'part-unpacked',
      run: (bytes) => {
        using part = parsePart({ ...bufferSource(bytes), [Symbol.dispose]: () => {} });
        for (const _ of readSteps(part, header.objects));
      },
    },
    {
      name: 'bsdiff',
      corpus: 'bsdiff',
      run: (bytes) => {
        let made = 0;
        for (const piece of bspatch(bufferSource(Buffer.from('old content')), bufferSource(bytes), 9))
          made += piece.length;
        assert.equal(made, 9);
      },
    },
    {
      name: 'config',
      corpus: 'config',
      run: (bytes) => {
        const text = KeyFile.parse(bytes.toString()).toString();
        assert.equal(KeyFile.parse(text).toString(), text);
      },
    },
    { name: 'ref name', corpus: 'ref', run: (bytes) => parseRefspec(bytes.toString()) },
    { name: 'ref request', corpus: 'ref', run: (bytes) => parseRequested([bytes.toString()]) },
    { name: 'revision', corpus: 'ref', run: (bytes) => repo.tryResolveRev(bytes.toString()) },
    { name: 'delta name', corpus: 'ref', run: (bytes) => parseDeltaName(bytes.toString()) },
    { name: 'ref file', corpus: 'ref', run: fileTarget('ref', (path) => readRefFile(path, 'main')) },
    { name: 'metalink', corpus: 'metalink', run: (bytes) => parseMetalink(bytes.toString(), 'summary') },
    { name: 'signature', corpus: 'signature', run: signaturePackets },
    { name: 'signatures', corpus: 'commitmeta', run: decodeSignatures },
    { name: 'gpg key listing', corpus: 'listing', run: (bytes) => parseKeyListing({ stdout: bytes }) },
    { name: 'gpg status', corpus: 'listing', run: (bytes) => parseVerifyStatus({ status: lines(bytes) }) },
    {
      name: 'tar and cpio',
      corpus: 'tar',
      inputs: 3000,
      run: async (bytes) => {
        let total = 0;
        for await (const { content } of archiveEntries(pieces(bytes))) {
          for await (const piece of content) {
            total += piece.length;
            if (total > 64 << 20) throw new AtomicError('invalid', 'more than was put in');
          }
        }
      },
    },
    {
      name: 'layer, laid over a tree',
      corpus: 'layer',
      inputs: 400,
      run: async (bytes) => {
        const layer = pieces(withChecksums(bytes));
        const { commit } = await applyChangeset(repo, { base: 'old', layer, onSpecial: () => {} });
        // What came of it is a tree like any other.
        for (const entry of listTree(repo, commit, '/', { recurse: true }))
          assert.ok(!entry.path.split('/').includes('..'), entry.path);
      },
    },
    {
      name: 'cookies',
      corpus: 'cookies',
      run: (bytes) => {
        writeFileSync(join(repo.path, 'o.cookies.txt'), bytes);
        return listCookies(repo, 'o');
      },
    },
    { name: 'mirror list', corpus: 'mirrorlist', run: (bytes) => parseMirrorlist(bytes.toString()) },
  ];
}

const lines = (bytes: Buffer): string[][] =>
  bytes
    .toString()
    .split('\n')
    .map((line) => line.split(/[ :]/));

/** A tar archive whose headers have the right sums again: what lies behind them is to be reached. */
function withChecksums(bytes: Buffer): Buffer {
  const block = 512;
  for (let at = 0; at + block <= bytes.length; at += block) {
    if (bytes.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    bytes.write('        ', at + 148, 'latin1');
    const sum = bytes.subarray(at, at + block).reduce((total, byte) => total + byte, 0);
    bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
  return bytes;
}

async function* pieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000);
}
