import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type ComposeResult,
  composeCommit,
  composeInstall,
  composeJson,
  composePostprocess,
  composeTree,
  loadTreefile,
} from '@atomic/compose';
import { AtomicError, Repo } from '@atomic/ostree';
import { commitView, nevraOf, parseAdvisories, parsePackageList, readPackages } from '@atomic/pkgdb';

const ROOT = resolve(import.meta.dirname, '../..');

function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const tool of ['mmdebstrap', 'bwrap', 'ostree', 'apt-get']) {
    if (!['/usr/bin', '/usr/sbin', '/bin'].some((folder) => existsSync(join(folder, tool)))) return `needs ${tool}`;
  }
  return undefined;
}

const SMALL = `ref: test/small
suite: bookworm
recommends: false
documentation: false
timestamp: 2026-01-01T00:00:00Z
packages: [iputils-ping, passwd]
hostname: small
kernel-arguments: [quiet]
add-files: [[motd, /etc/motd]]
postprocess:
  - |
    #!/bin/sh
    set -e
    useradd --system --no-create-home svc
    date > /var/cache/now
    rm /var/cache/now
`;

const stock = (...args: string[]): string =>
  execFileSync('ostree', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe('compose, judged by the stock tool', { skip: missing() }, () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-compose-'));
  // Packages are fetched once; installed roots and images are not shared between the two composes that are compared.
  const cache = process.env['ATOMIC_TEST_CACHE'] ?? join(ROOT, 'build');
  let repo: Repo;
  let first: ComposeResult;
  const treefile = (text: string): string => {
    const path = join(mkdtempSync(join(work, 'tree-')), 'tree.yaml');
    writeFileSync(path, text);
    writeFileSync(join(path, '../motd'), 'hello\n');
    return path;
  };
  const freshCache = (name: string): string => {
    const cachedir = join(work, name);
    mkdirSync(join(cachedir, 'apt'), { recursive: true });
    for (const from of [
      join(cache, 'cache/apt/archives'),
      join(work, 'one/apt/archives'),
      join(work, 'two/apt/archives'),
    ]) {
      if (existsSync(from) && !from.startsWith(cachedir))
        cpSync(from, join(cachedir, 'apt/archives'), { recursive: true });
    }
    return cachedir;
  };
  const fails = async (
    path: string,
    code: string,
    message: RegExp,
    cachedir = join(work, 'one'),
    more = {},
  ): Promise<AtomicError> => {
    const before = repo.listRefs();
    const error = await composeTree({ treefile: loadTreefile(path), repo, cachedir, ...more }).then(
      () => assert.fail('it did not fail'),
      (e: unknown) => e,
    );
    assert.ok(error instanceof AtomicError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(!error.message.includes('\n'), 'one line');
    assert.deepEqual(repo.listRefs(), before, 'the repository is as it was');
    assertNothingLeft(cachedir);
    return error;
  };
  const assertNothingLeft = (cachedir: string): void => {
    assert.ok(!existsSync(join(cachedir, 'work')), 'the work folder is gone');
    const roots = join(cachedir, 'roots');
    assert.deepEqual(globSync('*/*.part', { cwd: roots }), []);
    assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${cachedir}/`), 'nothing is mounted');
  };

  before(async () => {
    repo = Repo.create(join(work, 'repo'), { mode: 'archive' });
    first = await composeTree({ treefile: loadTreefile(treefile(SMALL)), repo, cachedir: freshCache('one') });
  });
  after(() => rmSync(work, { recursive: true, force: true }));

  test('stock ostree reads it: fsck, ls, show, refs, summary', () => {
    const path = join(work, 'repo');
    stock('fsck', `--repo=${path}`, '--quiet');
    assert.equal(stock('rev-parse', `--repo=${path}`, 'test/small').trim(), first.commit);
    const top = stock('ls', `--repo=${path}`, 'test/small')
      .split('\n')
      .map((line) => line.replace(/ +/g, ' '));
    assert.ok(top.includes('l00777 0 0 0 /ostree -> sysroot/ostree'));
    assert.ok(top.includes('d01777 0 0 0 /tmp'));
    assert.ok(!top.some((line) => line.endsWith(' /etc')));
    assert.equal(stock('ls', `--repo=${path}`, 'test/small', '/var').trim().split('\n').length, 1, '/var is empty');
    assert.equal(stock('cat', `--repo=${path}`, 'test/small', '/usr/etc/motd'), 'hello\n');
    assert.match(
      stock('cat', `--repo=${path}`, 'test/small', '/usr/lib/sysusers.d/00-atomic-tree.conf'),
      /^u svc \d+/m,
    );
    assert.match(stock('show', `--repo=${path}`, 'test/small'), /Date: {2}2026-01-01 00:00:00 \+0000/);
    assert.match(
      stock('ls', `--repo=${path}`, '-X', 'test/small', '/usr/bin/ping'),
      /security\.capability/,
      'file capabilities are kept',
    );
    assert.match(stock('summary', `--repo=${path}`, '--view'), /test\/small/);
    assert.match(
      stock('show', `--repo=${path}`, '--print-metadata-key=atomic.kernel-arguments', 'test/small'),
      /\['quiet'\]/,
    );
  });

  test('the atomic inside the tree runs', () => {
    const checkout = join(work, 'checkout');
    stock('checkout', `--repo=${join(work, 'repo')}`, 'test/small', checkout);
    const inTree = (...command: string[]): string =>
      execFileSync(
        'bwrap',
        [
          '--ro-bind',
          checkout,
          '/',
          '--dev',
          '/dev',
          '--proc',
          '/proc',
          '--tmpfs',
          '/tmp',
          '--tmpfs',
          '/var',
          ...command,
        ],
        { encoding: 'utf8' },
      );
    assert.match(inTree('atomic', '--version'), /^atomic:\n Version: '/);
    // Locks and attributes are libc's: this loads koffi's native half.
    assert.equal(
      inTree(
        'sh',
        '-c',
        'ostree init --repo=/tmp/r --mode=bare && ostree refs --repo=/tmp/r && ostree fsck --repo=/tmp/r >/dev/null && echo fine',
      ),
      'fine\n',
    );
    const from = performance.now();
    inTree('atomic', '--version');
    assert.ok(performance.now() - from < 1000, 'a start takes far less than a second');
  });

  test('the commit says which packages are in it: those that the tree’s database and dpkg-query say', () => {
    const format = '$' + '{Package}-$' + '{Version}.$' + '{Architecture}\n';
    const admindir = `--admindir=${join(work, 'checkout/usr/lib/sysimage/dpkg')}`;
    const said = execFileSync('dpkg-query', [admindir, '-W', '-f', format], { encoding: 'utf8' });
    const listed = parsePackageList(repo.loadCommit(first.commit).metadata) ?? [];
    assert.deepEqual(listed.map(nevraOf).sort(), said.trim().split('\n').sort());
    assert.deepEqual(readPackages(commitView(repo, first.commit))?.map(nevraOf), listed.map(nevraOf));
    // Whatever the suite of security updates has today, it is of packages that are there.
    const advisories = parseAdvisories(repo.loadCommit(first.commit).metadata);
    const names = new Set(listed.map(nevraOf));
    assert.deepEqual(
      advisories.filter(({ packages }) => !packages.every((one) => names.has(one))),
      [],
    );
  });

  test('nothing changed: no new commit', async () => {
    const again = await composeTree({ treefile: loadTreefile(treefile(SMALL)), repo, cachedir: join(work, 'one') });
    assert.deepEqual([again.changed, again.commit], [false, first.commit]);
  });

  test('install, postprocess and commit, one after the other, give the identical commit', async () => {
    const target = Repo.create(join(work, 'steps-repo'), { mode: 'archive' });
    const options = { treefile: loadTreefile(treefile(SMALL)), repo: target, cachedir: join(work, 'one') };
    const { rootfs, inputHash } = await composeInstall(join(work, 'steps'), options);
    assert.ok(rootfs !== null);
    assert.equal(inputHash, first.inputHash);
    await assert.rejects(composeCommit(rootfs, options), /has not the shape of a deployment/);
    await composePostprocess(rootfs, options);
    const { commit, ref } = await composeCommit(rootfs, options);
    assert.deepEqual([commit, ref], [first.commit, 'test/small']);
    assert.equal(composeJson(target, commit)['rpm-ostree-inputhash'], inputHash);
    await assert.rejects(composeInstall(join(work, 'steps'), options), /there is .*rootfs already/);
  });

  test('composing twice gives the identical commit', { timeout: 600_000 }, async () => {
    const other = Repo.create(join(work, 'other'), { mode: 'bare' });
    const second = await composeTree({
      treefile: loadTreefile(treefile(SMALL)),
      repo: other,
      cachedir: freshCache('two'),
    });
    assert.equal(second.changed, true);
    assert.equal(second.commit, first.commit);
  });

  test('composing twice gives the identical commit: kernel and initramfs too', { timeout: 900_000 }, async () => {
    const bootable = loadTreefile(join(ROOT, 'examples/debian-minimal.yaml'));
    const commits: string[] = [];
    // The first may take roots that other tests left; the second makes all anew.
    for (const cachedir of [join(cache, 'cache'), freshCache('three')]) {
      const target = Repo.create(mkdtempSync(join(work, 'repo-')), { mode: 'archive' });
      const result = await composeTree({ treefile: bootable, repo: target, cachedir, timestamp: 1_767_225_600 });
      assert.ok(result.kernel);
      assert.match(
        stock('ls', `--repo=${target.path}`, result.commit, `/usr/lib/modules/${result.kernel}/initramfs.img`),
        /initramfs\.img/,
      );
      assert.equal(result.version, '12');
      commits.push(result.commit);
    }
    assert.equal(commits[0], commits[1]);
  });

  test('an unknown package is named with its place', async () => {
    const path = treefile(SMALL.replace('[iputils-ping, passwd]', '\n  - bash\n  - no-such-thing'));
    const error = await fails(
      path,
      'not-found',
      /^package 'no-such-thing' \(.*tree\.yaml:8\) is in none of the repositories$/,
    );
    assert.match(error.hint ?? '', /spelling/);
  });
  test('packages that exclude what they need', async () => {
    await fails(treefile(`${SMALL}exclude-packages: [libcap2]\n`), 'invalid', /do not fit together/);
  });
  test('a mirror that is gone', async () => {
    await fails(treefile(`${SMALL}mirror: http://127.0.0.1:9/debian\n`), 'network', /127\.0\.0\.1:9/);
  });
  test('a script that fails is named with its place and its words', async () => {
    await fails(
      treefile(`${SMALL}  - "echo no luck >&2; exit 3"\n`),
      'failed',
      /tree\.yaml:\d+: the postprocess script failed with status 3: no luck/,
    );
  });
  test('a unit that is not there', async () => {
    await fails(
      treefile(`${SMALL}units: [nosuch.service]\n`),
      'invalid',
      /tree\.yaml:\d+: 'units': systemctl enable nosuch\.service failed/,
    );
  });
  test('no ref', async () => {
    await fails(treefile(SMALL.replace(/^ref.*\n/, '')), 'invalid', /'ref' is missing/);
  });
  test('no space', async () => {
    const small = join(work, 'full');
    mkdirSync(small);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=90m', 'tmpfs', small]);
    try {
      const cachedir = join(small, 'cache');
      const error = await composeTree({
        treefile: loadTreefile(treefile(SMALL)),
        repo,
        cachedir,
        forceNoCache: true,
      }).then(
        () => assert.fail('it did not fail'),
        (e: unknown) => e,
      );
      assert.ok(error instanceof AtomicError, String(error));
      assert.equal(error.code, 'no-space', error.message);
      assert.match(error.hint ?? '', /--cachedir/);
    } finally {
      execFileSync('umount', [small]);
    }
  });
  test('interrupted while packages are installed: nothing is left, and the next run works', async () => {
    const controller = new AbortController();
    const path = treefile(SMALL.replace('passwd]', 'passwd, less]'));
    const progress = (event: { phase: string; done?: number | undefined }): void => {
      if (event.phase === 'packages' && (event.done ?? 0) > 3) controller.abort(new Error('interrupted'));
    };
    await fails(path, 'aborted', /interrupted/, join(work, 'one'), { signal: controller.signal, progress });
    const result = await composeTree({ treefile: loadTreefile(path), repo, cachedir: join(work, 'one') });
    assert.ok(result.changed);
    assert.equal(result.parent, first.commit);
    assert.match(stock('ls', `--repo=${join(work, 'repo')}`, 'test/small', '/usr/bin/less'), /less/);
  });
  test('two at once: the second waits, or fails with --no-wait', async () => {
    const { FileLock } = await import('@atomic/linux');
    const cachedir = join(work, 'one');
    const held = await FileLock.acquire(join(cachedir, 'lock'), 'exclusive', {});
    const options = { treefile: loadTreefile(treefile(SMALL)), repo, cachedir };
    await assert.rejects(composeTree({ ...options, wait: false }), /lock is locked by another process/);
    let waited = '';
    const waiting = composeTree({
      ...options,
      onWait: (message) => {
        waited = message;
        held[Symbol.dispose]();
      },
    });
    await waiting;
    assert.match(waited, /waiting for another process to release .*lock/);
  });
  test('not root', async () => {
    const child = spawn(
      'setpriv',
      [
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        process.execPath,
        join(ROOT, 'packages/cli/src/atomic.ts'),
        'compose',
        'tree',
        `--repo=${join(work, 'repo')}`,
        `--cachedir=${join(work, 'nobody')}`,
        join(ROOT, 'examples/debian-minimal.yaml'),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const code = await new Promise((done) => child.once('close', done));
    assert.equal(code, 1);
    assert.match(text, /error: composing a tree needs root\n {2}hint: run it again with sudo/);
  });
});
