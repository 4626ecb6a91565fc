import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

const OURS = path.join(import.meta.dirname, '../../bin/ostree');
const STOCK = '/usr/bin/ostree';

const stockVersion = spawnSync(STOCK, ['--version'], { encoding: 'utf8' });
const skip = stockVersion.error ? 'the stock ostree tool is not installed' : false;

let work = '';
const clean = { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC', NO_COLOR: '1' };

function run(program: string, args: readonly string[], cwd = work): SpawnSyncReturns<string> {
  return spawnSync(program, args, { encoding: 'utf8', cwd, env: clean });
}
function stock(...args: string[]): string {
  const result = run(STOCK, args);
  assert.equal(result.status, 0, `stock ostree ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}
function ours(...args: string[]): string {
  const result = run(OURS, args);
  assert.equal(result.status, 0, `our ostree ${args.join(' ')}: ${result.stderr}`);
  return result.stdout;
}

/** The last line of what went to standard error: without the usage that may stand before it and our hint after it. */
const lastLine = (text: string): string =>
  text
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('  hint: '))
    .at(-1) ?? '';
const sorted = (text: string): string => text.split('\n').sort().join('\n');

before(() => {
  if (skip) return;
  work = mkdtempSync(path.join(tmpdir(), 'atomic-cli-'));
  const tree = path.join(work, 'tree');
  mkdirSync(path.join(tree, 'sub/deep'), { recursive: true });
  mkdirSync(path.join(tree, 'empty'));
  writeFileSync(path.join(tree, 'a'), 'hi\n');
  writeFileSync(path.join(tree, 'ünïcode'), 'odd\n');
  writeFileSync(path.join(tree, 'sp ace'), '');
  writeFileSync(path.join(tree, 'sub/deep/x'), 'x\n');
  writeFileSync(path.join(tree, 'sub/big'), Buffer.alloc(1234567, 7));
  chmodSync(path.join(tree, 'sub/deep/x'), 0o755);
  symlinkSync('a', path.join(tree, 'link'));
  spawnSync('setfattr', ['-n', 'user.foo', '-v', 'bar', path.join(tree, 'a')]);
  stock('init', '--repo=repo', '--mode=archive');
  const commit = ['commit', '--repo=repo', '--branch=main', '--canonical-permissions'];
  stock(
    ...commit,
    '--timestamp=@1600000000',
    '-s',
    'First',
    '-m',
    'one\ntwo',
    '--add-metadata-string=version=1.0',
    'tree',
  );
  writeFileSync(path.join(tree, 'a'), 'ho\n');
  stock(
    ...commit,
    '--timestamp=2021-02-03T04:05:06Z',
    '--add-metadata-string=odd.key=va\tlue',
    '--add-detached-metadata-string=d=e',
    'tree',
  );
  stock(
    'commit',
    '--repo=repo',
    '--branch=other/branch',
    '--no-xattrs',
    '--timestamp=@1700000000',
    '--no-bindings',
    'tree',
  );
  stock('remote', '--repo=repo', 'add', '--no-gpg-verify', '--set=k=v', 'origin', 'file:///nowhere', 'main', 'other');
  stock('summary', '--repo=repo', '-u');
});
after(() => {
  if (work !== '') rmSync(work, { recursive: true, force: true });
});

describe('our ostree prints what stock ostree prints', { skip }, () => {
  const missing = '0'.repeat(64);
  const READS: string[][] = [
    ['ls', 'main'],
    ['ls', '-R', 'main'],
    ['ls', '-RC', 'main'],
    ['ls', '-RX', 'other/branch'],
    ['ls', '-RCX', 'main', '/sub'],
    ['ls', '-dCX', 'main'],
    ['ls', '-d', 'main', '/sub', 'a', '/link'],
    ['ls', 'main', 'sub/deep/x'],
    ['ls', '-R', '--nul-filenames-only', 'main'],
    ['ls', 'main', '/nope'],
    ['ls', 'main', 'no/pe'],
    ['ls', 'nope'],
    ['ls'],
    ['cat', 'main', '/a', 'ünïcode'],
    ['cat', 'main', '/link'],
    ['cat', 'main', '/nope'],
    ['cat', 'main'],
    ['show', 'main'],
    ['show', 'main^'],
    ['show', '--raw', 'main'],
    ['show', '--raw', 'main^'],
    ['show', '-B', '--raw', 'main'],
    ['show', '--print-metadata-key=version', 'main^'],
    ['show', '--print-metadata-key=ostree.ref-binding', 'main'],
    ['show', '--print-metadata-key=odd.key', 'main'],
    ['show', '--print-metadata-key=nope', 'main'],
    ['show', '--print-detached-metadata-key=d', 'main'],
    ['show', '--print-detached-metadata-key=x', 'main'],
    ['show', 'nope'],
    ['show'],
    ['log', 'main'],
    ['log', '--raw', 'main'],
    ['log', 'other/branch'],
    ['log', 'nope'],
    ['log'],
    ['rev-parse', 'main'],
    ['rev-parse', 'main^'],
    ['rev-parse', 'main^^'],
    ['rev-parse', 'main', 'other/branch'],
    ['rev-parse', missing],
    ['rev-parse', 'bad ref'],
    ['rev-parse', 'origin:main'],
    ['rev-parse', '-S'],
    ['rev-parse'],
    ['refs'],
    ['refs', 'other'],
    ['refs', '--list', 'other'],
    ['refs', 'main'],
    ['refs', 'nope'],
    ['refs', '--create=new'],
    ['refs', '--create=main', 'other/branch'],
    ['refs', '--create=new', 'nope'],
    ['refs', '--delete'],
    ['config', 'get', 'core.mode'],
    ['config', 'get', 'core.nope'],
    ['config', 'get', 'nope.nope'],
    ['config', '--group=remote "origin"', 'get', 'url'],
    ['config', 'get', 'nodot'],
    ['config', 'get'],
    ['config', 'set', 'core.x'],
    ['config', 'frob', 'x'],
    ['config'],
    ['remote', 'list'],
    ['remote', 'list', '-u'],
    ['remote', 'show-url', 'origin'],
    ['remote', 'show-url', 'nope'],
    ['remote', 'delete', 'nope'],
    ['remote', 'delete', '--if-exists', 'nope'],
    ['remote', 'add', 'origin', 'http://x'],
    ['remote', 'add', '--if-not-exists', 'origin', 'http://x'],
    ['remote', 'add', 'x'],
    ['summary', '--raw'],
    ['summary'],
    ['prune', '--no-prune', '--refs-only'],
    ['prune', '--no-prune', '--refs-only', '--depth=0'],
    ['prune', '--depth=x'],
    ['commit', 'tree'],
    ['commit', '--branch=bad ref', 'tree'],
    ['commit', '--branch=x', 'nowhere'],
    ['commit', '--orphan', '--timestamp=whenever', 'tree'],
    ['commit', '--orphan', '--tree=frob=tree'],
    ['commit', '--orphan', '--tree=ref=nope'],
    ['commit', '--orphan', '--add-metadata-string=x', 'tree'],
    ['commit', '--orphan', '--parent=nope', 'tree'],
    ['commit', '--orphan', '--owner-uid=x', 'tree'],
    ['commit', '--branch'],
    ['commit', '--fsync=perhaps', '-b', 'x', 'tree'],
    ['checkout'],
    ['checkout', 'nope', 'out'],
    ['checkout', '--union', '--union-add', 'main', 'out'],
    ['checkout', '--union-identical', 'main', 'out'],
    ['checkout', '--union-add', '--union-identical', '-H', 'main', 'out'],
    ['checkout', '-H', '-C', 'main', 'out'],
    ['checkout', '--selinux-prefix=/x', 'main', 'out'],
    ['checkout', '--subpath=/nope', 'main', 'out'],
    ['checkout', '--subpath=/a/b', 'main', 'out'],
    ['checkout', '--subpath=/nope', '--allow-noent', 'main', 'out'],
    ['checkout', '--fsync=perhaps', 'main', 'out'],
    ['cat', 'main', '/sub'],
    ['ls', 'main', '/a/b'],
    ['diff'],
    ['diff', 'nope', 'main'],
    ['diff', 'main'],
    ['diff', 'main^', 'main'],
    ['diff', '--no-xattrs', 'other/branch', './tree'],
    ['diff', '--owner-uid=12', 'main', './tree'],
    ['diff', '--stats', 'main'],
    ['diff', '--stats', '--fs-diff', 'main^', 'main'],
    ['export'],
    ['checksum', 'tree/a'],
    ['checksum', '--ignore-xattrs', 'tree/a'],
    ['checksum', 'tree/sub'],
    ['checksum', 'tree/link'],
    ['checksum'],
    ['pull'],
    ['pull', 'nope', 'main'],
    ['pull-local'],
    ['pull-local', 'nowhere'],
    ['ls', '--frob', 'main'],
    ['ls', '-Z', 'main'],
    ['frob'],
    [],
  ];
  for (const args of READS) {
    test(`ostree ${args.join(' ')}`, () => {
      const place =
        args[0] === 'remote' ? [...args.slice(0, 2), '--repo=repo', ...args.slice(2)] : ['--repo=repo', ...args];
      const given = args.length === 0 || args[0] === 'frob' || args[0] === 'checksum' ? args : place;
      const expected = run(STOCK, given);
      const actual = run(OURS, given);
      // Stock lists refs in the order of a hash table.
      const shape = args[0] === 'refs' ? sorted : (text: string): string => text;
      assert.equal(shape(actual.stdout), shape(expected.stdout));
      assert.equal(lastLine(actual.stderr), lastLine(expected.stderr));
      assert.equal(actual.status, expected.status);
    });
  }

  test('opening what is no repository', () => {
    for (const args of [
      ['--repo=nowhere', 'refs'],
      ['--repo=tree', 'refs'],
    ]) {
      const expected = run(STOCK, args);
      const actual = run(OURS, args);
      assert.equal(actual.status, expected.status);
      assert.match(actual.stderr, /^error: opening repo: /);
      assert.match(expected.stderr, /^error: opening repo: /);
    }
  });

  test('objects of every kind, by checksum', () => {
    const [, , , , tree, meta] = stock('ls', '--repo=repo', '-dC', 'main').trim().split(/\s+/);
    const [, , , , file] = stock('ls', '--repo=repo', '-C', 'main', '/sub/deep/x').trim().split(/\s+/);
    for (const checksum of [tree, meta, file]) {
      assert.ok(checksum !== undefined && checksum.length === 64);
      const raws: string[][] = [[], ['--raw']];
      for (const raw of raws) {
        const args: string[] = ['show', '--repo=repo', ...raw, checksum];
        assert.equal(ours(...args), stock(...args));
      }
    }
  });

  test('an option nobody has is refused, not ignored', () => {
    const result = run(OURS, ['commit', '--repo=repo', '--rot13-sign=KEY', '-b', 'x', 'tree']);
    assert.equal(result.status, 1);
    assert.equal(result.stderr, 'error: Unknown option --rot13-sign=KEY\n');
  });
});

describe('our ostree does to a repository what stock ostree does', { skip }, () => {
  /** Runs the same commands of each tool on its own copy of a repository and compares output and result. */
  function same(name: string, commands: string[][], extra?: (repo: string) => void): void {
    test(name, () => {
      const results = [STOCK, OURS].map((program, i) => {
        const repo = path.join(work, `copy-${i}`);
        rmSync(repo, { recursive: true, force: true });
        cpSync(path.join(work, 'repo'), repo, { recursive: true, preserveTimestamps: true });
        const said = commands.map((args) => {
          const [first = '', ...rest] = args;
          const placed =
            first === 'remote'
              ? [first, rest[0] ?? '', `--repo=${repo}`, ...rest.slice(1)]
              : [first, `--repo=${repo}`, ...rest];
          const result = run(program, placed);
          return {
            status: result.status,
            out: result.stdout.replaceAll(repo, 'REPO'),
            error: lastLine(result.stderr).replaceAll(repo, 'REPO'),
          };
        });
        extra?.(repo);
        const fsck = run(STOCK, ['fsck', `--repo=${repo}`]);
        assert.equal(fsck.status, 0, fsck.stderr);
        const refs = run(STOCK, ['refs', `--repo=${repo}`, '--list'])
          .stdout.split('\n')
          .filter(Boolean)
          .sort();
        const tips = refs.map((ref) => `${ref} ${run(STOCK, ['rev-parse', `--repo=${repo}`, ref]).stdout.trim()}`);
        return { said, tips, config: readFileSync(path.join(repo, 'config'), 'utf8') };
      });
      assert.deepEqual(results[1], results[0]);
    });
  }

  const at = '--timestamp=@1650000000';
  same('commits', [
    ['commit', '-b', 'new', at, '-s', 'Subject', '-m', 'Body', 'tree'],
    ['commit', '-b', 'new', at, '--skip-if-unchanged', 'tree'],
    ['commit', '-b', 'new', at, '--parent=none', '--no-xattrs', '--owner-uid=5', '--owner-gid=6', 'tree'],
    [
      'commit',
      '-b',
      'new',
      at,
      '--tree=ref=main',
      '--tree=dir=tree/sub',
      '--add-metadata-string=a=b',
      '--bind-ref=zed',
      '--bind-ref=abc',
    ],
    ['commit', '-b', 'new', at, '--keep-metadata=a', '--add-detached-metadata-string=x=y', 'tree'],
    ['commit', '--orphan', at, '--canonical-permissions', 'tree'],
    ['commit', '--orphan', at, '-b', 'unwritten', 'tree'],
    ['commit', '-b', 'base', at, '--base=main', 'tree/sub'],
    ['commit', '-b', 'table', at, '--table-output', 'tree'],
    ['commit', '-b', 'mail', '--timestamp=Sun, 13 Sep 2020 12:26:40 +0200', 'tree'],
    ['commit', '-b', 'iso', '--timestamp=2020-09-13 12:26:40 +0000', 'tree'],
    ['commit', '-b', 'day', '--timestamp=2020-09-13', 'tree'],
  ]);
  same('refs', [
    ['refs', '--create=foo/bar', 'main'],
    ['refs', '--create=foo/bar', 'main'],
    ['refs', '--create=foo/bar', '--force', 'other/branch'],
    ['refs', '--create=foo/baz', 'main^'],
    ['refs', '--delete', 'other'],
    ['refs', '--create=origin:main', 'main'],
    ['reset', 'main', 'main^'],
  ]);
  same('configuration and remotes', [
    ['config', 'set', 'core.foo', 'bar'],
    ['config', 'get', 'core.foo'],
    ['config', 'set', 'new.key', 'a b'],
    ['config', 'unset', 'core.foo'],
    ['remote', 'add', '--no-gpg-verify', 'two', 'http://localhost:1/x', 'b1', 'b2'],
    ['remote', 'add', 'three', 'http://localhost:1/x'],
    ['remote', 'delete', 'origin'],
    ['remote', 'list', '-u'],
  ]);
  same('pruning', [
    ['refs', '--delete', 'other'],
    ['prune', '--refs-only', '--depth=0'],
    ['prune', '--refs-only'],
    ['log', 'main'],
  ]);

  test('statoverride and skip-list', () => {
    writeFileSync(path.join(work, 'override'), '+2048 /sub/deep/x\n=420 /a\n');
    writeFileSync(path.join(work, 'skip'), '/sub/big\n/empty\n');
    writeFileSync(path.join(work, 'unmatched'), '+2048 /nope\n');
    const args = [
      'commit',
      '--repo=repo',
      '--orphan',
      at,
      '--no-xattrs',
      '--statoverride=override',
      '--skip-list=skip',
      'tree',
    ];
    assert.equal(ours(...args), stock(...args));
    const bad = ['commit', '--repo=repo', '--orphan', '--statoverride=unmatched', 'tree'];
    assert.equal(run(OURS, bad).stderr, run(STOCK, bad).stderr);
  });

  test('checkouts hold the same', () => {
    for (const args of [['-U'], ['-U', '--subpath=/sub'], []]) {
      if (args.length === 0 && process.getuid?.() !== 0) continue;
      for (const [i, program] of [STOCK, OURS].entries()) {
        rmSync(path.join(work, `out-${i}`), { recursive: true, force: true });
        const result = run(program, ['checkout', '--repo=repo', ...args, 'main', `out-${i}`]);
        assert.equal(result.status, 0, result.stderr);
      }
      const list = (dir: string): string =>
        run('find', [dir, '-printf', '%P %y %m %U %G %l\n']).stdout.split('\n').sort().join('\n');
      assert.equal(list('out-1'), list('out-0'));
      assert.equal(run('diff', ['-r', 'out-0', 'out-1']).status, 0);
    }
    assert.equal(run(OURS, ['checkout', '--repo=repo', '-U', 'main', 'out-1']).status, 1);
  });

  test('a repository of each mode is laid out as stock lays it out', () => {
    for (const mode of ['bare', 'bare-user', 'bare-user-only', 'archive']) {
      stock('init', `--repo=s-${mode}`, `--mode=${mode}`);
      ours('init', `--repo=o-${mode}`, `--mode=${mode}`);
      ours('init', `--repo=o-${mode}`, `--mode=${mode}`);
      const config = (repo: string): string => readFileSync(path.join(work, repo, 'config'), 'utf8');
      assert.equal(config(`o-${mode}`), config(`s-${mode}`));
      assert.ok(lstatSync(path.join(work, `o-${mode}`, 'refs/heads')).isDirectory());
      const pulled = run(OURS, ['pull-local', `--repo=o-${mode}`, 'repo', 'main']);
      assert.equal(pulled.status, 0, pulled.stderr);
      const expected = run(STOCK, ['pull-local', `--repo=s-${mode}`, 'repo', 'main']);
      assert.equal(pulled.stdout, expected.stdout);
      assert.equal(run(STOCK, ['fsck', `--repo=o-${mode}`]).status, 0);
    }
  });
});

describe('what is ours alone', { skip }, () => {
  test('--json on every listing is one JSON value', () => {
    for (const args of [
      ['refs'],
      ['log', 'main'],
      ['ls', '-R', 'main'],
      ['show', 'main'],
      ['remote', 'list'],
      ['summary', '-v'],
      ['fsck'],
      ['prune', '--no-prune'],
    ]) {
      const place = args[0] === 'remote' ? ['remote', 'list', '--repo=repo'] : ['--repo=repo', ...args];
      const value: unknown = JSON.parse(ours(...place, '--json'));
      assert.ok(typeof value === 'object' && value !== null, args.join(' '));
    }
  });

  test('a reader that goes away early is no error', () => {
    const result = run('sh', [
      '-c',
      `{ "${OURS}" ls --repo=repo -R main; test $? = 0 || echo failed >&2; } | head -n1`,
    ]);
    assert.equal(result.stderr, '');
    assert.match(result.stdout, /^d0/);
  });

  test('--help says how, with examples', () => {
    const help = ours('commit', '--help');
    assert.match(help, /^Usage:\n {2}ostree commit \[OPTION…\] \[PATH\]\n/);
    assert.match(help, /\nExamples:\n {2}ostree commit /);
  });
});
