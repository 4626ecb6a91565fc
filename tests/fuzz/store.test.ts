/**
 * Hostile bytes wherever the store reads: parsers, archive objects, a repository's own files. Each may end in an
 * AtomicError; never in another kind of error, a hang, or a write outside of where it was sent.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import {
  AtomicError,
  archiveHeaderBytes,
  type Checksum,
  type Commit,
  checkout,
  commitTree,
  contentHasher,
  decodeVardict,
  encodeVardict,
  type FileHeader,
  fsck,
  KeyFile,
  listTree,
  parseArchiveHeader,
  parseBareUserMeta,
  parseCommit,
  parseDirMeta,
  parseDirTree,
  parseRefspec,
  prune,
  pull,
  pullLocal,
  Repo,
  type RepoMode,
  readFileAt,
  remoteAdd,
  serializeCommit,
  serializeDirMeta,
  serializeDirTree,
} from '@atomic/ostree';
import fc from 'fast-check';
import { startTestServer } from '../../packages/ostree/src/pull/test-server.ts';
import { parseSummary } from '../../packages/ostree/src/summary/summary.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-fuzz-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const numRuns = 400;
// The same input in each run; `make fuzz` takes another.
fc.configureGlobal({ seed: Number(process.env['FUZZ_SEED'] ?? 1) });
const timeout = 120_000;

const digest = (fill: string) => fill.repeat(64);
const commit: Commit = {
  metadata: new Map([
    ['version', { type: 's', value: '1.0' }],
    ['ostree.ref-binding', { type: 'as', value: ['os/main', 'os/other'] }],
    ['nested', { type: 'a{sv}', value: [['x', { type: '(uay)', value: [7, Buffer.from('abc')] }]] }],
  ]),
  parent: digest('a'),
  subject: 'subject',
  body: 'body ü',
  timestamp: 1_700_000_000,
  tree: digest('b'),
  meta: digest('c'),
};
const header: FileHeader = {
  uid: 1,
  gid: 2,
  mode: 0o100644,
  target: '',
  xattrs: [{ name: Buffer.from('user.x'), value: Buffer.from('value') }],
};
const dirTree = {
  files: ['a', 'b', 'ü'].map((name) => ({ name, checksum: digest('d') })),
  dirs: ['sub', 'zub'].map((name) => ({ name, tree: digest('e'), meta: digest('f') })),
};

/** Valid bytes, what reads them, and what writes them again: reading accepts one spelling of each value only. */
const formats: { name: string; seed: Buffer; read: (bytes: Buffer) => unknown; again?: (bytes: Buffer) => Buffer }[] = [
  { name: 'commit', seed: serializeCommit(commit), read: parseCommit },
  {
    name: 'dirtree',
    seed: serializeDirTree(dirTree),
    read: parseDirTree,
    again: (b) => serializeDirTree(parseDirTree(b)),
  },
  {
    name: 'dirmeta',
    seed: serializeDirMeta({ uid: 1, gid: 2, mode: 0o40755, xattrs: header.xattrs }),
    read: parseDirMeta,
    again: (b) => serializeDirMeta(parseDirMeta(b)),
  },
  { name: 'archive header', seed: archiveHeaderBytes(header, 12_345), read: parseArchiveHeader },
  {
    name: 'ostreemeta',
    seed: serializeDirMeta({ uid: 1, gid: 2, mode: 0o40755, xattrs: [] }),
    read: parseBareUserMeta,
  },
  {
    name: 'vardict',
    seed: encodeVardict(commit.metadata),
    read: decodeVardict,
    again: (b) => encodeVardict(decodeVardict(b)),
  },
  { name: 'summary', seed: Buffer.from('\0'), read: parseSummary },
];

/** Small damage: a few bytes changed, cut, put in, or repeated. */
const mutation = fc.array(
  fc.record({
    kind: fc.constantFrom('set', 'flip', 'cut', 'insert', 'truncate', 'repeat'),
    at: fc.nat(),
    value: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.integer({ min: 0, max: 255 })),
    length: fc.integer({ min: 1, max: 9 }),
  }),
  { minLength: 1, maxLength: 4 },
);
type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(seed: Buffer, steps: Mutation): Buffer {
  let bytes = Buffer.from(seed);
  for (const { kind, at, value, length } of steps) {
    const i = bytes.length === 0 ? 0 : at % bytes.length;
    if (kind === 'set' && bytes.length > 0) bytes[i] = value;
    else if (kind === 'flip' && bytes.length > 0) bytes[i] = (bytes[i] ?? 0) ^ (1 << (value & 7));
    else if (kind === 'cut') bytes = Buffer.concat([bytes.subarray(0, i), bytes.subarray(i + length)]);
    else if (kind === 'insert')
      bytes = Buffer.concat([bytes.subarray(0, i), Buffer.alloc(length, value), bytes.subarray(i)]);
    else if (kind === 'truncate') bytes = bytes.subarray(0, i);
    else if (kind === 'repeat') bytes = Buffer.concat([bytes.subarray(0, i), bytes.subarray(Math.max(0, i - length))]);
  }
  return bytes;
}

/** Runs it; an AtomicError is a fine end and gives undefined, anything else thrown is the bug looked for. */
function calmly<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof AtomicError) {
      assert.ok(error.message.length < 2000 && !error.message.includes('\n\n'), 'a message of one line');
      return undefined;
    }
    throw error;
  }
}
async function calmlyAsync<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof AtomicError) return undefined;
    throw error;
  }
}

for (const { name, seed, read, again } of formats) {
  test(`${name}: any bytes, and damaged good ones`, { timeout }, () => {
    const check = (bytes: Buffer) => {
      const value = calmly(() => read(bytes));
      if (value !== undefined && again !== undefined) assert.deepEqual(again(bytes), bytes);
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => check(Buffer.from(bytes))),
      { numRuns },
    );
    fc.assert(
      fc.property(mutation, (steps) => check(mutate(seed, steps))),
      { numRuns: 4 * numRuns },
    );
  });
}

test('dirtree names: what could leave the directory is refused, everything else is kept', { timeout }, () => {
  const wicked = fc.constantFrom('', '.', '..', '/', 'a/b', '../x', '/etc/passwd', 'a\0b', '\0', 'x/', './a');
  fc.assert(
    fc.property(wicked, (name) => {
      assert.throws(() => serializeDirTree({ files: [{ name, checksum: digest('d') }], dirs: [] }), AtomicError);
      // As bytes, past the serialiser: the good name is replaced by one as long.
      const good = 'x'.repeat(Buffer.byteLength(name));
      if (good === '') return;
      const bytes = serializeDirTree({ files: [{ name: good, checksum: digest('d') }], dirs: [] });
      bytes.write(name, bytes.indexOf(good), 'latin1');
      assert.throws(() => parseDirTree(bytes), { code: 'corrupt' });
    }),
  );
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1, unit: 'grapheme' }), { maxLength: 20 }), (names) => {
      const fine = names.filter((name) => !/[/\0]/.test(name) && name !== '.' && name !== '..' && name.isWellFormed());
      const files = fine.map((name) => ({ name, checksum: digest('d') }));
      assert.deepEqual(
        parseDirTree(serializeDirTree({ files, dirs: [] }))
          .files.map(({ name }) => name)
          .sort(),
        [...fine].sort(),
      );
    }),
    { numRuns },
  );
});

test('variants nested without end, and arrays of nothing, end in an error at once', { timeout }, () => {
  const nested = (levels: number): Buffer => {
    let inner = Buffer.from([1, 0, 0x79]); // the byte 1 as a variant: value, NUL, 'y'
    for (let i = 0; i < levels; i++) inner = Buffer.concat([inner, Buffer.from([0, 0x76])]);
    return inner;
  };
  const wrapped = (value: Buffer) => Buffer.concat([Buffer.from('k\0\0\0\0\0\0\0'), value, Buffer.from([2])]);
  for (const levels of [3, 63, 64, 65, 1000, 100_000]) {
    const bytes = wrapped(nested(levels));
    calmly(() => decodeVardict(Buffer.concat([bytes, Buffer.from([bytes.length])])));
  }
  for (const type of ['a'.repeat(100_000), '('.repeat(100_000), `${'a'.repeat(300)}s`, `${'m'.repeat(5000)}y`]) {
    const value = Buffer.concat([Buffer.from([0]), Buffer.from(type)]);
    const bytes = wrapped(value);
    const width = bytes.length + 4;
    const end = Buffer.alloc(4);
    end.writeUInt32LE(bytes.length);
    assert.ok(width > 0);
    assert.throws(() => decodeVardict(Buffer.concat([bytes, end])), AtomicError);
  }
  calmly(() => parseDirTree(Buffer.alloc(5_000_000)));
  calmly(() => decodeVardict(Buffer.alloc(5_000_000)));
});

for (const mode of ['archive', 'bare-user'] satisfies RepoMode[]) {
  test(`${mode}: a hostile archive object is refused, or is the object it is named for`, { timeout }, async () => {
    const repo = Repo.create(join(scratch, `import-${mode}`), { mode });
    const content = Buffer.from('some content, somewhat compressible, compressible\n'.repeat(20));
    const hasher = contentHasher(header);
    hasher.update(content);
    const checksum = hasher.digest();
    const good = Buffer.concat([archiveHeaderBytes(header, content.length), deflateRawSync(content)]);
    await fc.assert(
      fc.asyncProperty(mutation, fc.integer({ min: 1, max: 400 }), async (steps, piece) => {
        const bytes = mutate(good, steps);
        async function* pieces() {
          for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
        }
        await using transaction = await repo.begin();
        const stored = await calmlyAsync(() => transaction.importFilez(pieces(), checksum));
        assert.equal(transaction.hasObject('file', checksum), stored !== undefined);
        rmSync(transaction.stageDir, { recursive: true, force: true });
      }),
      { numRuns: 250 },
    );
  });
}

test('a size that lies: bombs and promises are cut short', { timeout }, async () => {
  const repo = Repo.create(join(scratch, 'bombs'), { mode: 'bare-user' });
  async function* once(...parts: Buffer[]) {
    yield* parts;
  }
  const bomb = deflateRawSync(Buffer.alloc(64 << 20));
  for (const size of [0, 1, 1000, 64 << 20, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
    await using transaction = await repo.begin();
    const before = process.memoryUsage().rss;
    await assert.rejects(transaction.importFilez(once(archiveHeaderBytes(header, size), bomb), digest('0')), {
      code: 'corrupt',
    });
    assert.ok(process.memoryUsage().rss - before < 300 << 20);
    assert.equal(transaction.hasObject('file', digest('0')), false);
  }
});

test('config: any text is a repository or an AtomicError; nothing is written', { timeout }, () => {
  const path = join(scratch, 'config');
  Repo.create(path, { mode: 'archive' });
  const good = readFileSync(join(path, 'config'), 'utf8');
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '[core]',
      '[remote "x"]',
      '[remote "../../x"]',
      '[',
      ']',
      '=',
      'mode=bare',
      'mode=\\',
      'repo_version=2',
    ),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, append) => {
      const text = (append ? good : '') + lines.join('\n');
      writeFileSync(join(path, 'config'), text);
      const repo = calmly(() => Repo.open(path));
      if (repo === undefined) return;
      for (const name of repo.remotes()) calmly(() => repo.remoteOption(name, 'url'));
      calmly(() => KeyFile.parse(repo.config.toString()));
      assert.equal(readFileSync(join(path, 'config'), 'utf8'), text);
    }),
    { numRuns },
  );
});

test('a ref that would be the folder of another is refused, until the other is gone', () => {
  const repo = Repo.create(join(scratch, 'ref-folders'), { mode: 'archive' });
  for (const remote of ['', 'origin:']) {
    repo.setRef(`${remote}a/b/c`, digest('a'));
    assert.throws(() => repo.setRef(`${remote}a`, digest('b')), { code: 'exists' });
    assert.throws(() => repo.setRef(`${remote}a/b/c/d`, digest('b')), { code: 'exists' });
    repo.setRef(`${remote}a/b/c`, null);
    repo.setRef(`${remote}a`, digest('b'));
    assert.equal(repo.readRef(`${remote}a`), digest('b'));
  }
});

test('revisions and refs: hostile names and contents stay inside refs/', { timeout }, async () => {
  const repo = Repo.create(join(scratch, 'inner/refs-repo'), { mode: 'archive' });
  repo.config.set('core', 'fsync', 'false');
  writeFileSync(join(scratch, 'inner/secret'), `${digest('a')}\n`);
  const tricky = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(
      '../secret',
      '../../../secret',
      'a/../../../secret',
      '/etc/passwd',
      'x:../../y',
      '..:x',
      '.:x',
      'a//b',
      'a/',
      '-x',
      'a:b:c',
      '^',
      '^^^',
      'a^^',
      '',
      'a\0b',
      '__proto__',
      'con\nfig',
      '\n\n',
    ),
  );
  fc.assert(
    fc.property(tricky, (name) => {
      assert.equal(calmly(() => repo.tryResolveRev(name)) ?? null, null);
      const parsed = calmly(() => parseRefspec(name));
      const written = calmly(() => repo.setRef(name, digest('b')) ?? true);
      assert.equal(written === undefined, parsed === undefined);
      if (written) {
        assert.equal(repo.readRef(name), digest('b'));
        repo.setRef(name, null);
      }
    }),
    { numRuns },
  );
  assert.deepEqual(readdirSync(join(scratch, 'inner')).sort(), ['refs-repo', 'secret']);
  assert.deepEqual(
    readdirSync(repo.path)
      .filter((name) => !name.startsWith('.'))
      .sort(),
    ['config', 'extensions', 'objects', 'refs', 'state', 'tmp'],
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      writeFileSync(join(repo.path, 'refs/heads/main'), bytes);
      calmly(() => repo.resolveRev('main'));
      calmly(() => repo.listRefs());
    }),
    { numRuns },
  );
});

/** A repository with a small tree, for damage to its files. */
async function smallRepo(name: string, mode: RepoMode): Promise<{ repo: Repo; checksum: Checksum }> {
  const tree = join(scratch, `${name}-tree`);
  mkdirSync(join(tree, 'd/e'), { recursive: true });
  for (const file of ['a', 'd/b', 'd/e/c']) writeFileSync(join(tree, file), `content of ${file}`);
  symlinkSync('a', join(tree, 'l'));
  const repo = Repo.create(join(scratch, name), { mode });
  repo.config.set('core', 'fsync', 'false');
  return { repo, checksum: (await commitTree(repo, { trees: [{ dir: tree }], branch: 'main', timestamp: 1 })).commit };
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

for (const mode of ['archive', 'bare-user'] satisfies RepoMode[]) {
  test(`${mode}: a damaged repository gives errors, is found out, and infects nobody`, { timeout }, async () => {
    const { repo, checksum } = await smallRepo(`damaged-${mode}`, mode);
    const objects = files(join(repo.path, 'objects'));
    const out = join(scratch, `damaged-${mode}-out`);
    let serial = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(), mutation, fc.boolean(), async (which, steps, swap) => {
        const path = objects[which % objects.length] ?? '';
        const good = readFileSync(path);
        const other = objects.filter((name) => name.slice(-6) === path.slice(-6))[which % 2] ?? path;
        const bad = swap ? readFileSync(other) : mutate(good, steps);
        if (bad.equals(good)) return;
        writeFileSync(path, bad);
        try {
          calmly(() => [...listTree(repo, 'main', '/', { recurse: true })]);
          calmly(() => readFileAt(repo, 'main', '/d/e/c'));
          await calmlyAsync(() => checkout(repo, 'main', out, { user: true }));
          const found = await fsck(repo);
          // Compressed otherwise, or a symlink's target without its NUL, it is the same object.
          const refilled = path.endsWith('.filez') || good.equals(Buffer.concat([bad, Buffer.alloc(1)]));
          if (!refilled) assert.notEqual(found.problems.length, 0, path);
          const target = Repo.create(join(scratch, `infected-${mode}-${serial++}`), { mode: 'archive' });
          target.config.set('core', 'fsync', 'false');
          const pulled = await calmlyAsync(() => pullLocal(target, repo, { refs: ['main'], untrusted: true }));
          assert.deepEqual((await fsck(target)).problems, []);
          assert.equal(target.readRef('main'), pulled === undefined ? null : checksum);
          rmSync(target.path, { recursive: true });
        } finally {
          writeFileSync(path, good);
          rmSync(out, { recursive: true, force: true });
        }
      }),
      { numRuns: 120 },
    );
    assert.deepEqual((await fsck(repo)).problems, []);
    await prune(repo, { refsOnly: true });
    assert.deepEqual(files(join(repo.path, 'objects')).sort(), objects.sort());
  });
}

test('a server that damages whatever it serves changes nothing here', { timeout }, async () => {
  const { repo } = await smallRepo('served/repo', 'archive');
  await using server = await startTestServer(dirname(repo.path));
  let serial = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(), mutation, async (which, steps) => {
      const target = Repo.create(join(scratch, `pulled-${serial++}`), { mode: 'bare-user' });
      target.config.set('core', 'fsync', 'false');
      remoteAdd(target, 'o', server.url, { options: { 'gpg-verify': 'false' } });
      const first = server.requests.length;
      server.misbehave = (_request, response, body) => {
        if (body === null || server.requests.length - first !== 1 + (which % 18)) return false;
        response.end(mutate(body, steps));
        return true;
      };
      const result = await calmlyAsync(() =>
        pull(target, { remote: 'o', refs: ['main'], retries: 0, stallSeconds: 2 }),
      );
      if (result === undefined) {
        assert.equal(target.listRefs().size, 0);
        assert.deepEqual([...target.listObjects()], []);
      }
      assert.deepEqual((await fsck(target)).problems, []);
      rmSync(target.path, { recursive: true });
    }),
    { numRuns: 100 },
  );
});

test('a directory that contains itself does not go on for ever', { timeout }, async () => {
  const { repo, checksum } = await smallRepo('cycle', 'archive');
  const root = repo.loadCommit(checksum);
  const path = repo.objectPath('dirtree', root.tree);
  // Impossible by hashing; possible on a disk that was tampered with.
  writeFileSync(
    path,
    serializeDirTree({ files: [], dirs: [{ name: 'x'.repeat(200), tree: root.tree, meta: root.meta }] }),
  );
  const out = join(scratch, 'cycle-out');
  await assert.rejects(checkout(repo, 'main', out, { user: true }), AtomicError);
  assert.equal(existsSync(out), false);
  assert.throws(() => [...listTree(repo, 'main', '/', { recurse: true })], AtomicError);
  assert.notEqual((await fsck(repo)).problems.length, 0);
  const target = Repo.create(join(scratch, 'cycle-target'), { mode: 'archive' });
  await assert.rejects(pullLocal(target, repo, { refs: ['main'], untrusted: true }), { code: 'corrupt' });
});

test('checkout over a tree with symlinks does not write through them', { timeout }, async () => {
  const outside = join(scratch, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'c'), 'mine');
  const { repo } = await smallRepo('through', 'archive');
  for (const union of ['overwrite', 'add', 'identical'] as const) {
    const out = join(scratch, `through-${union}`);
    mkdirSync(out);
    symlinkSync(outside, join(out, 'd'));
    symlinkSync(join(outside, 'a'), join(out, 'a'));
    await calmlyAsync(() => checkout(repo, 'main', out, { user: true, union }));
    assert.deepEqual(readdirSync(outside), ['c']);
    assert.equal(readFileSync(join(outside, 'c'), 'utf8'), 'mine');
    assert.ok(lstatSync(join(out, 'a'), { throwIfNoEntry: false }) !== undefined);
  }
});
