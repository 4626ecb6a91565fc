// A host made of RPMs: composed with real dnf and rpm from a repository of our own making, booted, upgraded, rolled back.
import assert from 'node:assert/strict';
import { basename, join } from 'node:path';
import { after, before, describe } from 'node:test';
import { type ComposeResult, composeTree, loadTreefile } from '@atomic/compose';
import { pullLocal, type Repo, readFileAt } from '@atomic/ostree';
import { type RepoServer, serveRepo } from '@atomic/vm';
import { buildDistribution, type Distribution } from '../rpm/distribution.ts';
import { buildRpm, rpmToolsMissing } from '../rpm/rpm-package.ts';
import { writeTree } from '../rpm/trees.ts';
import { asFirst, type Host, Lab, openTrees, scenarios, skip } from './lab.ts';
import { cachedir, stateFolder } from './setup.ts';

const whyNot =
  skip || rpmToolsMissing() || (process.env['RPM_MACHINE'] === undefined ? 'takes minutes: make rpm-test' : false);

describe('a host made of RPMs', { skip: whyNot, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let distribution: Distribution;
  let lab: Lab;
  let host: Host;
  let composed: Repo;
  let packages: RepoServer;
  const compose = async (version: '1' | '2', parent: string | null): Promise<ComposeResult> => {
    const trees = join(stateFolder('rpm-trees'), 'files');
    const packages = ['dnf', 'bubblewrap'];
    const path = writeTree(trees, distribution, { version, updates: version === '2', packages });
    return await composeTree({ treefile: loadTreefile(path), repo: composed, cachedir, parent });
  };
  let v1: ComposeResult;

  before(async () => {
    distribution = await buildDistribution(cachedir);
    composed = await openTrees('rpm-trees');
    v1 = await compose('1', null);
    lab = await Lab.of('rpm', { repo: composed.path, v1: asFirst(v1), images: 'rpm-images' });
    packages = await serveRepo(distribution.folder);
    host = await lab.host();
    const baseurl = `http://10.0.2.2:${packages.port}/base`;
    const file = `[base]\nname=base\nbaseurl=${baseurl}\ngpgcheck=0\n`;
    await host.check(`mkdir -p /etc/yum.repos.d && printf '%s' '${file}' > /etc/yum.repos.d/test.repo`);
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
    await packages?.close();
    await lab?.[Symbol.asyncDispose]();
  });
  /** Puts version 2, with the newer packages, where the machine upgrades from. */
  const publishSecond = async (): Promise<ComposeResult> => {
    const v2 = await compose('2', v1.commit);
    await pullLocal(lab.repo, composed.path, { refs: [v2.commit] });
    lab.repo.setRef(v2.ref, v2.commit);
    return v2;
  };
  const scenario = scenarios(() => host);
  const upgraded = 'less-590-2.1~deb12u2.1.x86_64';

  scenario('it boots, and its own rpm reads its database', async () => {
    await host.expectBooted(v1.commit, '1');
    assert.match(await host.check('cat /etc/os-release'), /^ID=testlinux$/m);
    assert.equal(Number(await host.check('rpm -qa | wc -l')), v1.packages);
    assert.equal(await host.check('rpm -q less'), 'less-590-2.1~deb12u2.x86_64');
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
    assert.equal(await host.check('rpm -V --nomtime less iproute kmod'), '');
    assert.equal((await host.run('test -w /usr')).code, 1, '/usr is read-only');
  });

  scenario('an upgrade says which packages change, and what it mends; then it has them', async () => {
    const v2 = await publishSecond();
    await host.check('echo mine > /etc/mine.conf; echo kept > /var/lib/kept');
    const preview = await host.check('atomic host upgrade --preview');
    assert.match(preview, /TEST-2026-0001/);
    assert.match(preview, /less 590-2\.1~deb12u2 -> 590-2\.1~deb12u2\.1/);
    await host.check('atomic host upgrade');
    await host.reboot();
    await host.expectBooted(v2.commit, '2');
    assert.equal(await host.check('rpm -q less'), upgraded);
    assert.match(await host.check('atomic db diff'), /less 590-2\.1~deb12u2 -> 590-2\.1~deb12u2\.1/);
    await host.judged();
  });

  scenario('and back', async () => {
    await host.check('atomic host rollback');
    await host.reboot();
    await host.expectBooted(v1.commit, '1');
    assert.equal(await host.check('rpm -q less'), 'less-590-2.1~deb12u2.x86_64');
    assert.equal(await host.check('cat /etc/mine.conf /var/lib/kept'), 'mine\nkept');
    await host.judged();
  });

  scenario('a package is layered on it, kept when the base is upgraded beneath, and taken off again', async () => {
    assert.notEqual((await host.run('command -v tree')).code, 0);
    await host.check('atomic host install tree');
    await host.reboot();
    assert.match(await host.check('tree --version'), /^tree v/);
    assert.match(await host.check('rpm -q tree'), /^tree-/);
    const [layered] = (await host.status()).deployments;
    assert.notEqual(layered?.checksum, v1.commit);
    await host.judged();
    await publishSecond();
    await host.check('atomic host upgrade');
    await host.reboot();
    assert.equal(await host.check('cat /usr/share/demo/version'), '2');
    assert.equal(await host.check('rpm -q less'), upgraded);
    assert.match(await host.check('tree --version'), /^tree v/);
    await host.judged();
    await host.check('atomic host uninstall tree');
    await host.reboot();
    assert.notEqual((await host.run('command -v tree')).code, 0);
    assert.equal(await host.check('cat /usr/share/demo/version'), '2');
  });

  scenario(
    'a package of the tree replaced and one removed, a kernel module added; then all of it taken back',
    async () => {
      const modules = `usr/lib/modules/${v1.kernel}`;
      const module = readFileAt(lab.repo, v1.commit, `/${modules}/kernel/drivers/net/dummy.ko`);
      const served = join(lab.folder, 'repo/rpms');
      const files = [
        await buildRpm(
          { name: 'less', version: '999-1', arch: 'x86_64', files: { '/usr/bin/less': '#!/bin/sh\necho ours\n' } },
          served,
        ),
        await buildRpm(
          { name: 'kmod-extra', version: '1-1', files: { [`/${modules}/extra/extra.ko`]: module } },
          served,
        ),
      ].map((path) => basename(path));
      for (const file of files) await host.fetch(`http://10.0.2.2:${lab.server.port}/rpms/${file}`, `/root/${file}`);
      const [less, extra] = files;
      const base = await host.check('cat /usr/share/demo/version; rpm -q less iputils');
      // With a module comes a new initramfs, by a dracut that is installed for that.
      await host.check(
        `atomic host override replace --remove=iputils --install=/root/${extra} /root/${less} && rm /root/*.rpm`,
        { timeoutSeconds: 1800 },
      );
      await host.reboot();
      assert.equal(await host.check('less; rpm -q less kmod-extra'), 'ours\nless-999-1.x86_64\nkmod-extra-1-1.noarch');
      assert.notEqual((await host.run('command -v ping || rpm -q iputils')).code, 0);
      assert.match(await host.check('modprobe extra && lsmod'), /^(dummy|extra)\s/m);
      const status = await host.check('atomic host status');
      assert.match(status, /LocalOverrides: less 590-\S+ -> 999-1\n/);
      assert.match(status, /RemovedBasePackages: iputils/);
      await host.judged();
      await host.check('atomic host reset');
      await host.reboot();
      assert.equal(await host.check('cat /usr/share/demo/version; rpm -q less iputils'), base);
      assert.notEqual((await host.run('modinfo extra || rpm -q kmod-extra')).code, 0);
      assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
    },
  );
});
