// Trees of RPMs, composed by real dnf and rpm from a small repository made here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type ComposeResult,
  composeExtensions,
  composeInstall,
  composeTree,
  loadTreefile,
  planPackages,
  treefileOf,
} from '@atomic/compose';
import { AtomicError, metadataString, Repo } from '@atomic/ostree';
import { parseAdvisories, readCommitPackages } from '@atomic/pkgdb';
import { rpmToolsMissing } from '../rpm/rpm-package.ts';
import { buildTiny } from '../rpm/tiny.ts';

const whyNot =
  (process.getuid?.() !== 0 && 'needs root') ||
  (!existsSync('/usr/bin/bwrap') && 'needs bwrap') ||
  (rpmToolsMissing() ?? false);

const ATOMIC = resolve(import.meta.dirname, '../../packages/cli/src/atomic.ts');

const TREE = `ref: tiny/\${basearch}
repos: [base]
repovars: { place: base }
releasever: 1
recommends: false
documentation: false
# Nothing to boot, and no atomic in it: that would take most of the time.
container: true
timestamp: 2026-01-01T00:00:00Z
packages: ["@core", Capital]
`;

describe('trees of RPMs', { skip: whyNot }, () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-rpm-'));
  let repo: Repo;
  let first: ComposeResult;
  let count = 0;
  const treefile = (text: string): string => {
    const path = join(work, `tree-${++count}.yaml`);
    writeFileSync(path, text);
    return path;
  };
  const plan = async (text: string): Promise<string[]> =>
    (await planPackages({ treefile: loadTreefile(treefile(text)), cachedir: join(work, 'cache') })).packages.map(
      (p) => `${p.name}-${p.version}.${p.architecture}`,
    );
  const compose = (text: string, cache = 'cache'): Promise<ComposeResult> =>
    composeTree({ treefile: loadTreefile(treefile(text)), repo, cachedir: join(work, cache) });
  const refuses = async (attempt: Promise<unknown>, code: string, message: RegExp): Promise<AtomicError> => {
    const error = await attempt.then(
      () => assert.fail('it did not fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof AtomicError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.ok(!error.message.includes('\n'), 'one line');
    return error;
  };
  const stock = (...args: string[]): string =>
    execFileSync('ostree', [...args, `--repo=${repo.path}`], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

  before(async () => {
    await buildTiny(work);
    repo = Repo.create(join(work, 'repo'), { mode: 'archive' });
    first = await compose(TREE);
  });
  after(() => rmSync(work, { recursive: true, force: true }));

  test('what is planned: groups, weak dependencies, excluded ones, newer repositories', async () => {
    assert.deepEqual(await plan(TREE), ['Capital-1-1.noarch', 'hello-2:1.0-1.noarch', 'tiny-base-1-1.x86_64']);
    assert.deepEqual(await plan(TREE.replace('[base]', '[base, updates]')), [
      'Capital-1-1.noarch',
      'hello-2:1.1-1.noarch',
      'tiny-base-1-1.x86_64',
    ]);
    const weak = TREE.replace('Capital]', 'extra]');
    assert.equal((await plan(weak)).length, 3);
    assert.equal((await plan(weak.replace('recommends: false', 'recommends: true'))).length, 4);
    const without = await plan(`${weak.replace('recommends: false', 'recommends: true')}exclude-packages: [Capital]\n`);
    assert.equal(without.length, 3);
    assert.equal((await plan(TREE.replace('"@core"', '"@^server"'))).length, 3);
    assert.equal((await plan(TREE.replace('Capital', '/usr/bin/hello, "\'hello >= 2:1.0\'"'))).length, 2);
  });

  test('the commit: stock reads it, rpm reads its database, packages and advisories are in its metadata', () => {
    stock('fsck', '--quiet');
    assert.equal(stock('cat', 'tiny/x86_64', '/usr/bin/hello'), '#!/bin/sh\necho hello\n');
    assert.match(stock('ls', 'tiny/x86_64', '/usr/lib/sysimage/rpm'), /rpm -> \.\.\/\.\.\/share\/rpm/);
    assert.deepEqual(stock('ls', '--nul-filenames-only', 'tiny/x86_64', '/usr/share/rpm').split('\0').filter(Boolean), [
      '/usr/share/rpm',
      '/usr/share/rpm/rpmdb.sqlite',
    ]);
    assert.equal(stock('cat', 'tiny/x86_64', '/usr/etc/hello.conf'), 'a=1\n');
    assert.throws(() => stock('ls', 'tiny/x86_64', '/usr/share/doc/hello/README'), 'documentation: false');
    assert.equal(stock('cat', 'tiny/x86_64', '/usr/share/licenses/hello/COPYING'), 'free\n');
    assert.equal(stock('cat', 'tiny/x86_64', '/usr/share/factory/var/lib/hello/state'), 'made\n');
    assert.match(stock('cat', 'tiny/x86_64', '/usr/lib/tmpfiles.d/zz-atomic-var.conf'), /^L \/var\/lib\/rpm /m);
    const checkout = join(work, 'checkout');
    stock('checkout', '--user-mode', '--subpath=/usr/share/rpm', 'tiny/x86_64', checkout);
    const installed = execFileSync('rpm', ['--dbpath', checkout, '-qa'], { encoding: 'utf8' }).trim().split('\n');
    assert.deepEqual(installed.sort(), ['Capital-1-1.noarch', 'hello-1.0-1.noarch', 'tiny-base-1-1.x86_64']);
    assert.equal(readCommitPackages(repo, first.commit)?.length, 3);
  });

  test('an advisory is told of by the commit that has what it mends', async () => {
    const newer = await compose(TREE.replace('[base]', '[base, updates]').replace('ref: tiny', 'ref: newer'));
    const [advisory] = parseAdvisories(repo.loadCommit(newer.commit).metadata);
    assert.equal(advisory?.id, 'TINY-1');
    assert.equal(advisory.severity, 'critical');
    assert.equal(advisory.references[0]?.title, 'CVE-2026-1');
    assert.deepEqual(advisory.packages, ['hello-2:1.1-1.noarch']);
  });

  test('nothing changed: no new commit; all made anew elsewhere: the same commit', async () => {
    const again = await compose(TREE);
    assert.deepEqual([again.changed, again.commit], [false, first.commit]);
    const other = Repo.create(join(work, 'other'), { mode: 'bare' });
    const path = treefile(TREE);
    const places = { cachedir: join(work, 'fresh'), workdir: join(work, 'elsewhere') };
    const second = await composeTree({ treefile: loadTreefile(path), repo: other, ...places });
    assert.equal(second.commit, first.commit);
    assert.deepEqual(readdirSync(places.workdir), [], 'nothing is left');
  });

  test('nothing changed: what else there is to compare with; install stops likewise', async () => {
    const options = { treefile: loadTreefile(treefile(TREE)), cachedir: join(work, 'cache') };
    const fresh = Repo.create(join(work, 'none'), { mode: 'archive' });
    const previousInputHash = first.inputHash;
    const { commit, changed } = await composeTree({ ...options, repo: fresh, previousInputHash });
    assert.deepEqual([commit, changed], [null, false]);
    assert.equal(fresh.listRefs().size, 0);
    const install = async (more: object): Promise<boolean> => {
      const destination = mkdtempSync(join(work, 'install-'));
      return (await composeInstall(destination, { ...options, repo, ...more })).rootfs !== null;
    };
    assert.equal(await install({}), false);
    assert.equal(await install({ repo: fresh, previousInputHash }), false);
    assert.equal(await install({ repo: fresh }), true);
    assert.equal(await install({ previousInputHash: '0' }), true);
    const roots = readdirSync(join(work, 'cache/roots/dnf'));
    assert.equal(await install({ forceNoCache: true }), true);
    assert.deepEqual(readdirSync(join(work, 'cache/roots/dnf')), roots, 'the root is made anew in its place');
  });

  test('what cannot be is named, with its place', async () => {
    const unknown = TREE.replace('packages: ["@core", Capital]', 'packages:\n  - "@core"\n  - nosuch');
    await refuses(
      plan(unknown),
      'not-found',
      /^package 'nosuch' \(.*tree-\d+\.yaml:12\) is in none of the repositories$/,
    );
    await refuses(plan(TREE.replace('@core', '@nosuch')), 'not-found', /group '@nosuch'/);
    await refuses(plan(TREE.replace('Capital', 'broken')), 'invalid', /nothing provides libnobody\.so\.1.* broken/);
    await refuses(plan(`${TREE}exclude-packages: [tiny-base]\n`), 'invalid', /do not fit together|excluded/);
    const repos = await refuses(plan(TREE.replace('[base]', '[base, nosuch]')), 'not-found', /repository 'nosuch'/);
    assert.match(repos.hint ?? '', /base, pool, updates/);
  });

  test('a script that fails fails the compose, with its words; nothing is left', async () => {
    await refuses(
      compose(TREE.replace('Capital', 'bad-post')),
      'failed',
      /^the script %post of bad-post-1-1\.noarch failed with status 3: no luck$/,
    );
    assert.ok(!existsSync(join(work, 'cache/work')));
  });

  test('a manifest in the shape of those of Fedora: what it comes to, and the tree of it', async () => {
    const folder = join(work, 'fedora');
    cpSync(join(import.meta.dirname, '../rpm/fedora'), folder, { recursive: true });
    const repos = readFileSync(join(work, 'tiny.repo'), 'utf8').replaceAll('$place', 'base');
    writeFileSync(join(folder, 'tiny.repo'), repos);
    const manifest = loadTreefile(join(folder, 'manifest.yaml'));
    assert.equal(manifest.family, 'rpm');
    assert.equal(manifest.ref, 'fedora/x86_64/host/testing');
    const { packages } = await planPackages({ treefile: manifest, cachedir: join(work, 'cache') });
    const names = packages.map(({ name, version }) => (name === 'hello' ? `${name}-${version}` : name));
    // hello of updates, for x86_64, with what the conditions ask for; nothing of what is left out.
    const expected = [
      ...['NetworkManager', 'composefs', 'efibootmgr', 'grub2', 'grub2-efi-x64', 'hello-2:1.1-1', 'kernel', 'nano'],
      ...['nano-default-editor', 'nss-altfiles', 'ostree', 'shim', 'strace', 'systemd', 'tiny-base'],
    ];
    assert.deepEqual(names, expected);
    const text = readFileSync(join(folder, 'manifest.yaml'), 'utf8').replace(
      '  - updates\n',
      '  - updates\n\ncontainer: true\n',
    );
    writeFileSync(join(folder, 'manifest.yaml'), text);
    const { commit, version } = await composeTree({
      treefile: loadTreefile(join(folder, 'manifest.yaml')),
      repo,
      cachedir: join(work, 'cache'),
      timestamp: 1_767_225_600,
    });
    assert.equal(version, '12.20260101.dev.0');
    assert.match(stock('cat', commit, '/usr/etc/stream.conf'), /^stream = testing$/m);
    assert.throws(() => stock('ls', commit, '/usr/share/nano/x'), 'remove-from-packages');
    assert.equal(metadataString(repo.loadCommit(commit).metadata, 'test.stream'), 'testing');
  });

  test('extensions: packages beside a tree, in the version that fits it; an exact version; a lock', async () => {
    const folder = join(work, 'extensions');
    mkdirSync(folder);
    const yaml = join(folder, 'extensions.yaml');
    writeFileSync(yaml, 'extensions:\n  more:\n    packages: [extra]\n');
    const base = readCommitPackages(repo, first.commit) ?? [];
    const out = join(folder, 'out');
    const options = { treefile: loadTreefile(treefile(TREE)), base, cachedir: join(work, 'cache'), outputDir: out };
    const { packages } = await composeExtensions(yaml, options);
    assert.deepEqual(
      packages.map(({ name }) => name),
      ['extra'],
    );
    assert.ok(existsSync(join(out, 'extra-1-1.noarch.rpm')));
    assert.equal((await composeExtensions(yaml, options)).changed, false);
    const both = TREE.replace('[base]', '[base, updates]').replace('"@core"', 'hello=2:1.0-1');
    assert.ok((await plan(both)).includes('hello-2:1.0-1.noarch'));
    const lock = { packages: [{ name: 'hello', evr: '2:1.0-1', architecture: 'noarch' }] };
    const held = TREE.replace('[base]', '[base, updates]');
    const locked = await planPackages({
      treefile: loadTreefile(treefile(held)),
      cachedir: join(work, 'cache'),
      lock: { strict: false, ...lock },
    });
    assert.ok(locked.packages.some(({ name, version }) => name === 'hello' && version === '2:1.0-1'));
  });

  test('repositories, their variables and the proxy to them from another root', async () => {
    const asked: string[] = [];
    // Knows the host that nobody else does.
    const proxy = createServer((request, response) => {
      asked.push(request.url ?? '');
      const path = join(work, new URL(request.url ?? '', 'http://none/').pathname);
      if (!existsSync(path) || !statSync(path).isFile()) response.writeHead(404).end();
      else response.end(readFileSync(path));
    });
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
    try {
      const address = proxy.address();
      assert.ok(address !== null && typeof address === 'object');
      const root = join(work, 'root');
      for (const name of ['yum.repos.d', 'dnf/vars']) mkdirSync(join(root, 'etc', name), { recursive: true });
      const house = '[house]\nname=house\nbaseurl=http://packages.house.invalid/$where\ngpgcheck=0\n';
      writeFileSync(join(root, 'etc/yum.repos.d/house.repo'), house);
      writeFileSync(join(root, 'etc/dnf/vars/where'), 'base\n');
      const apart = mkdtempSync(join(work, 'apart-'));
      const path = join(apart, 'tree.yaml');
      writeFileSync(path, TREE.replace('[base]', '[house]').replace('"@core", ', ''));
      const treefile = loadTreefile(path, undefined, { sourceRoot: root });
      const options = { treefile, cachedir: join(work, 'proxy-cache'), sourceRoot: root };
      const { packages } = await planPackages({ ...options, proxy: `http://127.0.0.1:${address.port}` });
      assert.ok(packages.some(({ name }) => name === 'Capital'));
      assert.ok(asked.includes('http://packages.house.invalid/base/repodata/repomd.xml'), asked.join(' '));
      await refuses(planPackages({ ...options, sourceRoot: apart }), 'not-found', /house/);
    } finally {
      proxy.close();
    }
  });

  test('the steps of a compose go on as install was called', () => {
    const root = join(work, 'steps-root');
    mkdirSync(join(root, 'etc/yum.repos.d'), { recursive: true });
    const house = `[house]\nname=house\nbaseurl=file://${work}/base\ngpgcheck=0\n`;
    writeFileSync(join(root, 'etc/yum.repos.d/house.repo'), house);
    // Not beside a *.repo file: only that root says that it is about RPMs.
    const folder = mkdtempSync(join(work, 'steps-'));
    const [path, rootfs] = [join(folder, 'tree.yaml'), join(folder, 'out/rootfs')];
    const text = TREE.replace('[base]', '[house]').replace('repovars: { place: base }\n', '');
    writeFileSync(path, text.replace('ref: tiny', 'variables: { stream: testing }\nref: ${stream}'));
    const atomic = (step: string, ...args: string[]): string =>
      execFileSync(process.execPath, [ATOMIC, 'compose', step, `--cachedir=${join(work, 'cache')}`, ...args], {
        encoding: 'utf8',
        cwd: work,
      });
    const how = ['--variable=stream=stable', '--source-root=steps-root', '--disable-selinux'];
    atomic('install', `--repo=${repo.path}`, ...how, path, join(folder, 'out'));
    const notes = JSON.parse(readFileSync(join(folder, 'out/compose.json'), 'utf8'));
    assert.deepEqual([notes.variables, notes.sourceRoot, notes.disableSelinux], [{ stream: 'stable' }, root, true]);
    assert.equal(treefileOf(rootfs, path).given.disableSelinux, true);
    atomic('postprocess', rootfs, path);
    atomic('commit', `--repo=${repo.path}`, path, rootfs);
    assert.equal(repo.readRef('testing/x86_64'), null);
    const commit = repo.readRef('stable/x86_64');
    assert.ok(commit !== null);
    assert.equal(stock('cat', commit, '/usr/etc/hello.conf'), 'a=1\n');
    assert.equal(readCommitPackages(repo, commit)?.length, 3);
    assert.match(stock('ls', commit, '/usr/lib/sysimage/rpm'), /rpm -> /, "in the shape of RPM's trees");
    writeFileSync(join(folder, 'out/compose.json'), '{');
    assert.throws(() => treefileOf(rootfs, path), /compose\.json is not what compose install leaves there/);
  });

  test('packages have to be signed with a key of their repository, where it says so', async () => {
    const say = (more: string): string => {
      const folder = mkdtempSync(join(work, 'signed-'));
      writeFileSync(
        join(folder, 'signed.repo'),
        `[signed]\nname=signed\nbaseurl=file://${work}/signed\ngpgcheck=1\n${more}`,
      );
      writeFileSync(join(folder, 'tree.yaml'), TREE.replace('[base]', '[signed]').replace(', Capital', ''));
      return join(folder, 'tree.yaml');
    };
    const composeSigned = (path: string): Promise<ComposeResult> =>
      composeTree({ treefile: loadTreefile(path), repo, cachedir: join(work, 'cache'), forceNoCache: true });
    execFileSync('cp', ['-a', join(work, 'base'), join(work, 'signed')]);
    const home = join(work, 'gnupg');
    mkdirSync(home, { mode: 0o700 });
    const env = { PATH: '/usr/bin:/bin', GNUPGHOME: home, HOME: home };
    const key = join(work, 'key.asc');
    execFileSync(
      'gpg',
      ['--batch', '--quiet', '--passphrase', '', '--quick-gen-key', 'tiny@example', 'rsa2048', 'sign'],
      { env, stdio: 'ignore' },
    );
    writeFileSync(key, execFileSync('gpg', ['--batch', '--armor', '--export', 'tiny@example'], { env }));
    await refuses(composeSigned(say('')), 'invalid', /repository 'signed' has no key/);
    await refuses(
      composeSigned(say(`gpgkey=file://${key}\n`)),
      'invalid',
      /is not signed with a key of repository 'signed'/,
    );
    const files = ['tiny-base-1-1.x86_64.rpm', 'hello-1.0-1.noarch.rpm'].map((name) => join(work, 'signed', name));
    execFileSync(
      'rpmsign',
      ['--define', '_gpg_name tiny@example', '--define', '__gpg /usr/bin/gpg', '--addsign', ...files],
      { env, stdio: 'ignore' },
    );
    execFileSync('createrepo_c', [
      '--quiet',
      '--no-database',
      '--groupfile',
      join(work, 'base/repodata/comps.xml'),
      join(work, 'signed'),
    ]);
    assert.equal((await composeSigned(say(`gpgkey=file://${key}\n`))).packages, 2);
  });
});
