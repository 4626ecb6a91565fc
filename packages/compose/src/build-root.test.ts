import assert from 'node:assert/strict';
import {
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
import { after, before, describe, test } from 'node:test';
import { commitTree, Repo } from '@atomic/ostree';
import { installPackages } from './build-root.ts';
import type { PackageManager } from './packages/manager.ts';
import { applyTreefile } from './postprocess/index.ts';
import { emptyTreefile } from './treefile/load-treefile.ts';
import type { Treefile } from './treefile/treefile.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-build-'));
after(() => rmSync(scratch, { recursive: true }));
const put = (root: string, path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const get = (root: string, path: string): string => readFileSync(join(root, path), 'utf8');
const at = <T>(value: T) => ({ value, file: 'tree.yaml', line: 3 });

/** Installs a root with one package, `tool`. */
const manager: PackageManager = {
  name: 'fake',
  needs: { runtime: [], initramfs: [] },
  refresh: () => Promise.resolve({ id: '1' }),
  resolve: () => Promise.resolve([]),
  install: (directory) => {
    put(directory, 'usr/bin/tool', 'packaged');
    put(directory, 'usr/share/doc/tool/readme', 'long');
    put(directory, 'etc/tool.conf', 'packaged');
    for (const name of ['hostname', 'resolv.conf', 'fstab', 'ssh/ssh_host_rsa_key'])
      put(directory, `etc/${name}`, 'of here');
    symlinkSync('usr/bin', join(directory, 'bin'));
    return Promise.resolve();
  },
  download: () => Promise.resolve(),
  digests: () => Promise.resolve(new Map()),
  repositories: () => [],
  files: (_root, name) =>
    name === 'tool' ? ['/usr/bin', '/usr/bin/tool', '/usr/share/doc/tool/readme', '/etc/tool.conf'] : [],
  settle: () => {},
  list: () => [],
};

describe('refs laid over packages', () => {
  let repo: Repo;
  let count = 0;
  before(async () => {
    repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
    const layer = async (branch: string, files: Record<string, string>): Promise<void> => {
      const dir = mkdtempSync(join(scratch, 'layer-'));
      for (const [path, text] of Object.entries(files)) put(dir, path, text);
      await commitTree(repo, { trees: [{ dir }], branch, timestamp: 0 });
    };
    const linked = mkdtempSync(join(scratch, 'layer-'));
    symlinkSync(scratch, join(linked, 'out'));
    await commitTree(repo, { trees: [{ dir: linked }], branch: 'layer/link', timestamp: 0 });
    await layer('layer/place', { [`.${scratch}/there`]: '' });
    await layer('layer/through', { 'out/host': 'layered' });
    await layer('layer/new', { 'bin/more': 'layered', 'usr/etc/more.conf': 'layered', 'usr/etc/fstab': 'layered' });
    await layer('layer/folder', { 'usr/bin/tool/more': 'layered' });
    await layer('layer/same', { 'usr/bin/tool': 'layered', 'usr/etc/tool.conf': 'layered' });
  });
  const install = async (treefile: Partial<Treefile>): Promise<string> => {
    const root = join(scratch, `root-${++count}`, 'tree');
    const layers = new Map(
      [...(treefile.ostreeLayers ?? []), ...(treefile.ostreeOverrideLayers ?? [])].map(({ value }) => [
        value,
        repo.resolveRev(value),
      ]),
    );
    const request = { packages: ['tool'], exclude: [], recommends: false, documentation: true };
    const planned = {
      manager,
      request,
      repositories: '1',
      packages: [],
      initramfs: null,
      runtime: null,
      layers,
      inputHash: '',
      version: undefined,
      timestamp: 0,
    };
    const options = { treefile: { ...emptyTreefile(), ...treefile }, cachedir: join(scratch, 'cache') };
    await installPackages(root, planned, repo, options);
    return root;
  };

  test('new files come in, /usr/etc as /etc, through links that folders are', async () => {
    const root = await install({ ostreeLayers: [at('layer/new')] });
    assert.equal(get(root, 'usr/bin/more'), 'layered');
    assert.equal(get(root, 'etc/more.conf'), 'layered');
    assert.deepEqual(
      readdirSync(join(root, 'etc')).sort(),
      ['fstab', 'more.conf', 'ssh', 'tool.conf'],
      "not the composer's",
    );
    assert.equal(get(root, 'etc/fstab'), 'layered');
    assert.equal(get(root, 'usr/bin/tool'), 'packaged');
    assert.ok(lstatSync(join(root, 'bin')).isSymbolicLink());
  });
  test('a file that is there already is an error, or wins as an override', async () => {
    await assert.rejects(
      install({ ostreeLayers: [at('layer/same')] }),
      /^AtomicError: tree\.yaml:3: 'ostree-layers': layer\/same has \/(etc\/tool\.conf|usr\/bin\/tool), which is there already$/,
    );
    const root = await install({ ostreeOverrideLayers: [at('layer/same')] });
    assert.equal(get(root, 'usr/bin/tool'), 'layered');
    assert.equal(get(root, 'etc/tool.conf'), 'layered');
  });
  test('a folder in place of a file is no less one that is there already', async () => {
    await assert.rejects(
      install({ ostreeLayers: [at('layer/folder')] }),
      /^AtomicError: tree\.yaml:3: 'ostree-layers': layer\/folder has \/usr\/bin\/tool, which is there already$/,
    );
    assert.equal(get(await install({ ostreeOverrideLayers: [at('layer/folder')] }), 'usr/bin/tool/more'), 'layered');
  });
  test('a link that leads to the composing machine leads into the root', async () => {
    writeFileSync(join(scratch, 'host'), "the host's");
    const root = await install({
      ostreeOverrideLayers: [at('layer/link'), at('layer/place'), at('layer/through')],
    });
    assert.equal(readFileSync(join(scratch, 'host'), 'utf8'), "the host's");
    assert.equal(get(root, `${scratch}/host`), 'layered');
  });
  test('remove-from-packages: files of that package that match, and no others', async () => {
    const root = await install({});
    put(root, 'usr/share/doc/other', 'stays');
    const treefile = {
      ...emptyTreefile(),
      removeFromPackages: [at({ package: 'tool', patterns: ['/usr/share/.*', '^/usr/bin$'] })],
    };
    await applyTreefile(root, treefile, { manager });
    assert.equal(lstatSync(join(root, 'usr/share/doc/tool/readme'), { throwIfNoEntry: false }), undefined);
    assert.equal(get(root, 'usr/share/doc/other'), 'stays');
    assert.equal(get(root, 'usr/bin/tool'), 'packaged', 'folders stay');
  });
});
