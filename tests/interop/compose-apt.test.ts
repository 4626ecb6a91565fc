import assert from 'node:assert/strict';
import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { composeExtensions, type Lock, loadTreefile, planPackages } from '@atomic/compose';
import { FileLock } from '@atomic/linux';
import { AptRepo, missingForApt, missingForInstall } from './apt-repo.ts';

describe('how apt is asked for a tree', { skip: missingForApt() }, () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-apt-'));
  const main = new AptRepo(join(work, 'main'));
  after(() => rmSync(work, { recursive: true, force: true }));
  before(() => {
    main.add({ name: 'usr-is-merged', version: '1', essential: true });
    main.add({ name: 'app', version: '1.0' });
    main.publish();
  });

  const plan = (text: string, { lock, sourceRoot }: { lock?: Lock; sourceRoot?: string } = {}) => {
    const path = join(work, 'tree.yaml');
    writeFileSync(path, `suite: none\ncontainer: true\n${text}`);
    return planPackages({ treefile: loadTreefile(path), cachedir: join(work, 'cache'), lock, sourceRoot });
  };

  test('repo-packages are installed, whether packages names them or not', async () => {
    const backports = new AptRepo(join(work, 'backports'));
    for (const [name, version] of ['podman=2', 'crun=1', 'app=0.9'].map((word) => word.split('=')))
      backports.add({ name: name ?? '', version: version ?? '' });
    backports.publish();
    main.add({ name: 'podman', version: '3' });
    main.publish();
    const repos = `repos: ["${main.line}", "${backports.line}"]\n`;
    const from = (names: string): string => `repo-packages: [{repo: "${backports.line}", packages: [${names}]}]\n`;
    const planned = async (text: string): Promise<string[]> =>
      (await plan(repos + text)).packages.map(({ name, version }) => `${name} ${version}`);
    const all = ['app 0.9', 'crun 1', 'podman 2', 'usr-is-merged 1'];
    assert.deepEqual(await planned(`packages: [app]\n${from('podman, app, crun')}`), all);
    await assert.rejects(
      planned(`packages: [app]\n${from('"@core"')}`),
      /names '@core', which is no name of a Debian package/,
    );
  });

  test('what only looks or fetches waits for other composes with its cache, too', async () => {
    const cachedir = join(work, 'cache');
    mkdirSync(cachedir, { recursive: true });
    const tree = join(work, 'held.yaml');
    writeFileSync(tree, `suite: none\ncontainer: true\nrepos: ["${main.line}"]\npackages: [app]\n`);
    const extensions = join(work, 'extensions.yaml');
    writeFileSync(extensions, 'extensions: {podman: {packages: [podman]}}\n');
    const options = { treefile: loadTreefile(tree), base: [], cachedir, outputDir: join(work, 'out'), wait: false };
    const look = (): SpawnSyncReturns<string> =>
      spawnSync(
        join(import.meta.dirname, '../../bin/atomic'),
        ['compose', 'tree', '--repo=none', `--cachedir=${cachedir}`, '--dry-run', '--no-wait', tree],
        { encoding: 'utf8' },
      );
    {
      using _other = await FileLock.acquire(join(cachedir, 'lock'), 'exclusive');
      await assert.rejects(composeExtensions(extensions, options), /locked by another process/);
      assert.match(look().stderr, /locked by another process/);
    }
    assert.equal(look().stdout, 'app-1.0.all\nusr-is-merged-1.all\n');
  });

  test('a source may hold its key', { skip: existsSync('/usr/bin/gpg') ? false : 'needs gpg' }, async () => {
    const home = mkdtempSync(join(work, 'gpg-'));
    const gpg = (...args: string[]): string =>
      execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--passphrase', '', ...args], { encoding: 'utf8' });
    const signed = new AptRepo(join(work, 'signed'));
    signed.add({ name: 'house', version: '1' });
    signed.publish();
    try {
      gpg('--quick-generate-key', 'Nobody <nobody@example.org>', 'ed25519', 'sign');
      gpg('--clearsign', '--output', join(signed.path, 'InRelease'), join(signed.path, 'Release'));
      const key = gpg('--armor', '--export').trimEnd().replace(/^$/gm, '.').replace(/^/gm, ' ');
      const sourceRoot = join(work, 'root');
      mkdirSync(join(sourceRoot, 'etc/apt/sources.list.d'), { recursive: true });
      const stanza = `Types: deb\nURIs: copy:${signed.path}\nSuites: ./\nSigned-By:\n${key}\n`;
      writeFileSync(join(sourceRoot, 'etc/apt/sources.list.d/house.sources'), stanza);
      await plan(`packages: [app]\nrepos: ["${main.line}"]\n`, { sourceRoot });
      const { packages } = await plan(`packages: [house]\nrepos: ["${main.line}", house]\n`, { sourceRoot });
      assert.ok(packages.some(({ name }) => name === 'house'));
    } finally {
      execFileSync('gpgconf', ['--homedir', home, '--kill', 'all']);
    }
  });

  test('a lock of any length reaches the installation', { skip: missingForInstall() }, async () => {
    for (const length of [3, 3000]) {
      const packages = Array.from({ length }, (_, index) => ({ name: `package-with-a-name-${index}`, evr: '1:2.3-4' }));
      const { manager, request } = await plan(`packages: [app]\nrepos: ["${main.line}"]\n`, {
        lock: { packages, strict: false },
      });
      // Nothing here could be installed for good: no package brings a dpkg to run.
      await assert.rejects(manager.install(join(work, 'installed'), request, {}), /installing packages failed/);
    }
  });
});
