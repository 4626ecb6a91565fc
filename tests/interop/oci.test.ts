// Bootable container images: what skopeo and umoci make of them, and that nothing is lost on the way there and back.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { buildChunked, encapsulate, parseManifest, pullImage, unencapsulate } from '@atomic/compose';
import { AtomicError, commitTree, metadataString, Repo, stringVariant } from '@atomic/ostree';

const tools = ['/usr/bin/skopeo', '/usr/bin/umoci', '/usr/bin/ostree', '/usr/sbin/setcap'].filter(
  (path) => !existsSync(path),
);
const skip = process.geteuid?.() !== 0 ? 'needs root' : tools.length > 0 ? `missing: ${tools.join(' ')}` : false;
const REF = 'test/os';

const run = (command: string, ...args: string[]): string =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

describe('bootable container images', { skip, timeout: 120_000 }, () => {
  let folder = '';
  let repo: Repo;
  let commit = '';
  const tree = (name: string): string => join(folder, name);
  const write = (root: string, path: string, content: string | Buffer, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content, { mode });
  };
  const makeTree = (root: string, version: string) => {
    for (const name of ['boot', 'sysroot', 'proc', 'sys', 'dev', 'run', 'tmp', 'var'])
      mkdirSync(join(root, name), { recursive: true });
    symlinkSync('sysroot/ostree', join(root, 'ostree'));
    symlinkSync('usr/bin', join(root, 'bin'));
    write(root, 'usr/lib/modules/6.1/vmlinuz', Buffer.alloc(3 << 20, 'k'));
    write(root, 'usr/lib/modules/6.1/initramfs.img', Buffer.alloc(2 << 20, version));
    write(root, 'usr/etc/hostname', 'os\n');
    write(root, 'usr/lib/os-release', 'ID=test\n');
    write(root, 'usr/bin/tool', `tool ${version}`, 0o755);
    write(root, 'usr/bin/same-as-tool', `tool ${version}`, 0o755);
    write(root, 'usr/bin/ping', 'ping', 0o755);
    write(root, 'usr/bin/sudo', 'sudo', 0o4755);
    write(root, 'usr/share/empty-1', '');
    write(root, 'usr/share/empty-2', '');
    write(root, `usr/share/${'long/'.repeat(30)}name`, 'deep');
    write(root, 'usr/share/Größe', 'not ASCII');
    symlinkSync('..//share//empty-1', join(root, 'usr/bin/denormal'));
    run('/usr/sbin/setcap', 'cap_net_raw+ep', join(root, 'usr/bin/ping'));
    run('/usr/bin/chown', '12:34', join(root, 'usr/share/empty-1'));
    const packages = { tool: ['/bin/tool', '/etc/hostname'], libbig: ['/usr/lib/big.so'], net: ['/usr/bin/ping'] };
    write(root, 'usr/lib/big.so', Buffer.alloc(2 << 20, 'b'));
    for (const [name, files] of Object.entries(packages))
      write(root, `usr/lib/sysimage/dpkg/info/${name}.list`, `/.\n${files.join('\n')}\n`);
    write(root, 'usr/lib/sysimage/dpkg/status', '');
  };
  const commitOf = async (root: string, version: string): Promise<string> => {
    const metadata = new Map([
      ['version', stringVariant(version)],
      ['ostree.linux', stringVariant('6.1')],
      ['ostree.bootable', { type: 'b', value: true }],
      ['custom', stringVariant('text')],
    ]);
    return (await commitTree(repo, { trees: [{ dir: root }], branch: REF, metadata, timestamp: 1_767_225_600 })).commit;
  };
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'atomic-oci-test-'));
    repo = Repo.create(join(folder, 'repo'), { mode: 'archive' });
    makeTree(tree('one'), '1');
    commit = await commitOf(tree('one'), '1');
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('skopeo finds the labels that bootc asks for, and copies every blob', async () => {
    const { digest, layers } = await encapsulate({
      repo,
      ref: REF,
      destination: `oci:${tree('layout')}:latest`,
      copyMetadata: ['custom'],
      labels: new Map([['own', 'label']]),
    });
    const seen: unknown = JSON.parse(run('/usr/bin/skopeo', 'inspect', `oci:${tree('layout')}:latest`));
    assert.ok(typeof seen === 'object' && seen !== null && 'Labels' in seen && 'Digest' in seen);
    assert.equal(seen.Digest, digest);
    const last = 'ostree.final-diffid';
    const { [last]: diffId, ...labels } = Object(seen.Labels);
    assert.match(diffId, /^sha256:[0-9a-f]{64}$/);
    assert.deepEqual(labels, {
      'containers.bootc': '1',
      'ostree.bootable': 'true',
      'ostree.commit': commit,
      'ostree.linux': '6.1',
      'org.opencontainers.image.version': '1',
      version: '1',
      custom: 'text',
      own: 'label',
    });
    assert.ok(layers.some(({ components }) => components.length === 1 && components[0] === 'libbig'));
    assert.ok(layers.some(({ components }) => components.includes('initramfs')));
    run('/usr/bin/skopeo', 'copy', '--quiet', `oci:${tree('layout')}:latest`, `dir:${tree('copied')}`);
    run('/usr/bin/skopeo', 'copy', '--quiet', `oci:${tree('layout')}:latest`, `oci-archive:${tree('by-skopeo')}:x`);
    const back = Repo.create(tree('from-skopeo'), { mode: 'bare-user' });
    const result = await unencapsulate({ repo: back, source: `oci-archive:${tree('by-skopeo')}:x` });
    assert.deepEqual(result, { commit, digest });
  });

  test('umoci unpacks a root file system: the tree, with /etc in its place', () => {
    run('/usr/bin/umoci', 'unpack', '--image', `${tree('layout')}:latest`, tree('bundle'));
    const root = join(tree('bundle'), 'rootfs');
    assert.equal(readFileSync(join(root, 'etc/hostname'), 'utf8'), 'os\n');
    assert.equal(existsSync(join(root, 'usr/etc')), false);
    assert.equal(readFileSync(join(root, 'bin/tool'), 'utf8'), 'tool 1');
    assert.equal(statSync(join(root, 'usr/bin/sudo')).mode & 0o7777, 0o4755);
    assert.match(run('/usr/sbin/getcap', join(root, 'usr/bin/ping')), /cap_net_raw/);
    assert.deepEqual(
      [12, 34],
      [statSync(join(root, 'usr/share/empty-1')).uid, statSync(join(root, 'usr/share/empty-1')).gid],
    );
    assert.equal(
      statSync(join(root, 'usr/share/empty-2')).ino === statSync(join(root, 'usr/share/empty-1')).ino,
      false,
    );
    assert.equal(readFileSync(join(root, 'usr/share', 'long/'.repeat(30), 'name'), 'utf8'), 'deep');
    assert.equal(statSync(join(root, 'var/tmp')).mode & 0o7777, 0o1777);
    // The repository inside is one, and stock ostree finds the commit in it.
    assert.ok(existsSync(join(root, 'sysroot/ostree/repo/objects', commit.slice(0, 2), `${commit.slice(2)}.commit`)));
  });

  test('there and back: the very same commit, in every mode of repository, and stock finds nothing wrong', async () => {
    const destination = `oci-archive:${tree('os.ociarchive')}`;
    for (const compression of ['gzip', 'zstd', 'none'] as const) {
      await encapsulate({ repo, ref: REF, destination, compression });
      for (const mode of ['archive', 'bare', 'bare-user'] as const) {
        const path = tree(`back-${compression}-${mode}`);
        const back = Repo.create(path, { mode });
        const result = await unencapsulate({ repo: back, source: destination, ref: 'got/it' });
        assert.equal(result.commit, commit);
        assert.equal(run('/usr/bin/ostree', 'rev-parse', `--repo=${path}`, 'got/it').trim(), commit);
        run('/usr/bin/ostree', 'fsck', '--quiet', `--repo=${path}`);
        assert.deepEqual(back.loadCommit(commit), repo.loadCommit(commit));
      }
    }
  });

  test('the same commit gives the same image, bit for bit', async () => {
    const made = ['a', 'b'].map((name) => encapsulate({ repo, ref: REF, destination: `oci-archive:${tree(name)}` }));
    const [a, b] = await Promise.all(made);
    assert.equal(a?.digest, b?.digest);
    assert.ok(readFileSync(tree('a')).equals(readFileSync(tree('b'))));
  });

  test('a new version shares the layers of what did not change, and pulls only the others', async () => {
    const first = await encapsulate({ repo, ref: commit, destination: `oci:${tree('v1')}` });
    makeTree(tree('two'), '2');
    const second = await commitOf(tree('two'), '2');
    const blob = join(tree('v1'), 'blobs/sha256', first.digest.slice('sha256:'.length));
    const previous = parseManifest(readFileSync(blob));
    const next = await encapsulate({ repo, ref: second, destination: `oci:${tree('v2')}`, previous });
    const old = new Set(first.layers.map(({ digest }) => digest));
    const fresh = next.layers.filter(({ digest }) => !old.has(digest));
    const changed = fresh.flatMap(({ components }) => components);
    assert.ok(
      changed.includes('initramfs') && !changed.includes('libbig') && !changed.includes('kernel'),
      changed.join(),
    );
    const into = Repo.create(tree('pulled'), { mode: 'bare-user' });
    const one = await pullImage({ repo: into, source: `oci:${tree('v1')}` });
    assert.deepEqual(one.layers, { total: first.layers.length, fetched: first.layers.length, derived: 0 });
    const again = await pullImage({ repo: into, source: `oci:${tree('v1')}` });
    assert.deepEqual([again.merged, again.layers.fetched], [one.merged, 0]);
    const two = await pullImage({ repo: into, source: `oci:${tree('v2')}` });
    assert.equal(two.commit, second);
    assert.equal(two.layers.fetched, fresh.length);
    const { tree: got, metadata } = into.loadCommit(two.merged);
    assert.equal(got, repo.loadCommit(second).tree);
    assert.equal(metadataString(metadata, 'ostree.manifest-digest'), next.digest);
    assert.ok(metadataString(metadata, 'ostree.manifest')?.includes('"schemaVersion":2'));
    const escaped = first.layers[1]?.digest.replace(':', '_3A_');
    assert.ok(into.listRefs().has(`ostree/container/blob/${escaped}`), [...into.listRefs().keys()].join());
    run('/usr/bin/ostree', 'fsck', '--quiet', `--repo=${into.path}`);
  });

  test('what was built on top of an image comes along', async () => {
    await encapsulate({ repo, ref: commit, destination: `oci:${tree('base')}:latest` });
    const image = `${tree('base')}:latest`;
    run('/usr/bin/umoci', 'unpack', '--image', image, tree('build'));
    const root = join(tree('build'), 'rootfs');
    write(root, 'usr/bin/added', 'added', 0o755);
    write(root, 'etc/added.conf', 'conf');
    write(root, 'run/leftover', 'not the tree');
    rmSync(join(root, 'usr/bin/tool'));
    run('/usr/bin/umoci', 'repack', '--image', image, tree('build'));
    const into = Repo.create(tree('derived'), { mode: 'bare' });
    const { merged, layers } = await pullImage({ repo: into, source: `oci:${image}` });
    assert.equal(layers.derived, 1);
    const list = run('/usr/bin/ostree', 'ls', `--repo=${into.path}`, '-R', merged);
    assert.match(list, / \/usr\/bin\/added$/m);
    assert.match(list, / \/usr\/etc\/added\.conf$/m);
    assert.doesNotMatch(list, / \/usr\/bin\/tool$/m);
    assert.doesNotMatch(list, /leftover|\/etc\/added\.conf.*\n.* \/etc\//);
    assert.match(list, / \/usr\/bin\/same-as-tool$/m);
    await assert.rejects(unencapsulate({ repo: into, source: `oci:${image}` }), /1 layers on top/);
  });

  test('any root file system, a folder or an image, becomes a bootable image that is cut by package', async () => {
    const root = join(tree('bundle'), 'rootfs');
    rmSync(join(root, 'sysroot/ostree'), { recursive: true });
    write(root, 'var/log/leftover', 'not the tree');
    const destination = `oci:${tree('chunked')}:latest`;
    const common = { bootable: true, scratch: folder, timestamp: 1_767_225_600 };
    const made = await buildChunked({ ...common, source: { rootfs: root }, destination });
    assert.ok(made.layers.some(({ components }) => components.includes('libbig')));
    const into = Repo.create(tree('from-chunked'), { mode: 'bare-user' });
    const { commit: got } = await unencapsulate({ repo: into, source: destination });
    assert.equal(got, made.commit);
    const list = run('/usr/bin/ostree', 'ls', `--repo=${into.path}`, '-R', got);
    assert.match(list, / \/usr\/etc\/hostname$/m);
    assert.doesNotMatch(list, / \/etc\/hostname$|leftover/m);
    assert.equal(metadataString(into.loadCommit(got).metadata, 'ostree.linux'), '6.1');
    assert.match(
      run('/usr/bin/ostree', 'ls', `--repo=${into.path}`, '-X', got, '/usr/bin/ping'),
      /security\.capability/,
    );
    // The image of an image: what was a link to an object is the file again.
    const again = await buildChunked({
      ...common,
      source: { image: destination },
      destination: `oci:${tree('again')}`,
    });
    assert.equal(into.loadCommit(got).tree, await treeIn(`oci:${tree('again')}`, again.commit));
    const empty = mkdtempSync(join(folder, 'empty-'));
    await assert.rejects(
      buildChunked({ ...common, bootable: false, source: { rootfs: empty }, destination }),
      /no root file system/,
    );
  });

  const treeIn = async (source: string, of: string): Promise<string> => {
    const into = Repo.create(mkdtempSync(join(folder, 'tree-')), { mode: 'bare-user' });
    await unencapsulate({ repo: into, source });
    return into.loadCommit(of).tree;
  };

  test('images that lie are refused, and leave no ref', async () => {
    const source = `oci:${tree('bad')}`;
    const { layers, digest } = await encapsulate({ repo, ref: commit, destination: source });
    const blob = (of: string | undefined) => join(tree('bad'), 'blobs/sha256', (of ?? '').slice('sha256:'.length));
    const refused = async (code: string, message: RegExp) => {
      const into = Repo.create(mkdtempSync(join(folder, 'into-')), { mode: 'bare-user' });
      const reads = [() => unencapsulate({ repo: into, source, ref: 'x' }), () => pullImage({ repo: into, source })];
      for (const read of reads) {
        const error = await read().then<never, unknown>(
          () => assert.fail('it was taken'),
          (e: unknown) => e,
        );
        assert.ok(error instanceof AtomicError, String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
      }
      assert.equal([...into.listRefs().keys()].filter((name) => !name.startsWith('ostree/container/blob/')).length, 0);
    };
    const whole = readFileSync(blob(layers[1]?.digest));
    writeFileSync(blob(layers[1]?.digest), Buffer.concat([whole, Buffer.alloc(1)]));
    await refused('corrupt', /is not what its digest says/);
    writeFileSync(blob(layers[1]?.digest), whole.subarray(0, whole.length >> 1));
    await refused('corrupt', /cut short|damaged|digest/);
    rmSync(blob(layers[1]?.digest));
    await refused('not-found', /the image has no sha256/);
    writeFileSync(blob(layers[1]?.digest), whole);
    const manifest = readFileSync(blob(digest), 'utf8');
    writeFileSync(blob(digest), manifest.replace('"schemaVersion":2', '"schemaVersion":3'));
    await refused('corrupt', /digest/);
    await assert.rejects(unencapsulate({ repo, source: 'nowhere:x' }), /does not say where/);
    await assert.rejects(unencapsulate({ repo, source: `oci:${tree('none')}` }), /no index\.json/);
  });
});
