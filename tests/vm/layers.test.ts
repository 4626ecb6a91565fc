// Packages layered on a running machine by its own apt, from a repository on the host: installed, used after a reboot,
// kept through an upgrade of the base, live, in place of packages of the base, as kernel modules; and what happens when
// one of them does not fit the next base.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { readFileAt } from '@atomic/ostree';
import { DebRepository } from './deb-repository.ts';
import { type Host, Lab, scenarios, skip } from './lab.ts';

const whyNot = skip || (process.env['LAYERS_MACHINE'] === undefined ? 'takes minutes: make layers-test' : false);
const DPKG_STATUS = 'usr/lib/sysimage/dpkg/status';

describe('packages layered on a running machine', { skip: whyNot, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let lab: Lab;
  let host: Host;
  let debs: DebRepository;

  before(async () => {
    lab = await Lab.compose('layers');
    debs = new DebRepository(lab);
    // All at once: lists of packages are fetched once an hour.
    const modules = `usr/lib/modules/${lab.v1.kernel}`;
    const module = readFileAt(lab.repo, lab.v1.commit, `/${modules}/kernel/drivers/net/dummy.ko`);
    debs.publishGreeter();
    debs.publish({ name: 'livetool', version: '1', files: { 'usr/bin/livetool': '#!/bin/sh\necho alive\n' } });
    debs.publish({ name: 'extra-module', version: '1', files: { [`${modules}/updates/atomic-extra.ko`]: module } });
    debs.publish({ name: 'bomb', version: '1', files: {}, scripts: { postinst: 'b() { b | b & }; b; sleep 600' } });
    debs.publish({
      name: 'third-party',
      version: '5',
      depends: 'hostname (<< 50)',
      files: { 'usr/bin/third': '#!/bin/sh\necho 3\n' },
    });
    host = await lab.host();
    await debs.use(host);
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });
  const scenario = scenarios(() => host);
  const timed = async (command: string): Promise<string> => {
    const start = performance.now();
    const output = await host.check(command);
    console.log(`${((performance.now() - start) / 1000).toFixed(1)} s: ${command}`);
    return output;
  };
  /** The base of what runs, where nothing else boots next. */
  const bootedBase = async (): Promise<string> => {
    const text = await host.check("atomic host status --jsonpath '$.deployments[0]'");
    const base = /"base-checksum":\s*"([0-9a-f]{64})"/.exec(text) ?? /"checksum":\s*"([0-9a-f]{64})"/.exec(text);
    return base?.[1] ?? '';
  };

  scenario('installed: there after the next boot, with its account and settings', async () => {
    const said = await timed('atomic host install greeter');
    assert.match(said, /^Staged: 1 /m);
    assert.match(said, /^Added:\n {2}greeter-1\.0-1\.all\n {2}greeter-data-1\.0-1\.all$/m);
    assert.equal((await host.run('command -v greeter')).code !== 0, true, 'what runs is as it was');
    await host.reboot();
    assert.equal(await host.check('greeter; cat /etc/greeter.conf'), 'hello from a layer\ndefault');
    assert.match(
      await host.check('stat -c %U /var/lib/greeter; dpkg -s greeter'),
      /^greeter\n[\s\S]*install ok installed/,
    );
    assert.equal(await bootedBase(), lab.v1.commit);
    assert.match(await host.check('atomic host status'), /LayeredPackages: greeter\n/);
    assert.equal((await host.run('test -w /usr')).code, 1, '/usr is read-only');
    assert.match(await host.check('ostree admin status'), /\* debian [0-9a-f]{64}\.0/);
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
  });

  scenario('the base is upgraded beneath it, by itself', async () => {
    const v2 = await lab.commit({ version: '2' });
    await host.check('echo mine > /etc/greeter.conf');
    await host.judged();
    await host.check('atomic host updates set policy=stage');
    await timed('systemctl start atomic-update.service');
    await host.reboot();
    assert.deepEqual([await bootedBase(), await host.check('cat /usr/share/demo/version')], [v2, '2']);
    assert.equal(await host.check('greeter; cat /etc/greeter.conf'), 'hello from a layer\nmine');
    await host.judged();
  });

  scenario('applied to the running system at once, and kept', async () => {
    await timed('atomic host install --apply-live --assumeyes livetool');
    assert.equal(await host.check('livetool'), 'alive');
  });

  scenario('a package of the base replaced and one removed by files, a kernel module added', async () => {
    const file = debs.publish({
      name: 'iputils-ping',
      version: '9:99-1',
      arch: 'amd64',
      files: { 'usr/bin/ping': '#!/bin/sh\necho ours\n' },
    });
    await host.fetch(`${debs.url}/${encodeURIComponent(file)}`, `/root/${file}`);
    await timed(`atomic host override replace /root/${file}`);
    await host.check(`rm /root/${file}`);
    // Those that another scenario layered, where this one runs alone.
    const said = await timed('atomic host install --idempotent greeter livetool extra-module');
    assert.match(said, /note: the initramfs stays the base's, without new modules: package '\S+' is in none of the/);
    await host.reboot();
    assert.equal(await host.check('ping; livetool; greeter'), 'ours\nalive\nhello from a layer');
    assert.match(await host.check('atomic host status'), /LocalOverrides: iputils-ping 3:20221126-1\S* -> 9:99-1\n/);
    assert.match(await host.check('modprobe atomic-extra && lsmod'), /^(dummy|atomic_extra)\s/m);
    await host.judged();
  });

  scenario('what does not go with the next base: said, and the machine stays as it is', async () => {
    await timed('atomic host install --idempotent greeter third-party');
    await host.reboot();
    assert.equal(await host.check('third'), '3');
    const status = readFileAt(lab.repo, lab.v1.commit, `/${DPKG_STATUS}`).toString();
    const newer = status.replace(/^(Package: hostname\n(?:[^\n]+\n)*?Version: )[^\n]+/m, '$199-1');
    assert.notEqual(newer, status);
    const v3 = await lab.commit({ version: '3', files: { [DPKG_STATUS]: newer } });
    const before = await host.deployments();
    const refused = await host.run('atomic host upgrade');
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, /does not go onto 3: .*third-party/);
    assert.match(refused.output, /the system is as it was.*atomic host upgrade --uninstall=third-party/);
    assert.deepEqual(await host.deployments(), before);
    assert.match(
      await host.check('atomic host status'),
      /^Layers: stuck since \d{4}-.* before 3, because .*third-party/m,
    );
    assert.match(await host.check('cat /run/motd.d/86-atomic-layers'), /Updates are stuck since/);
    assert.match(await host.check('atomic host updates'), /Layers: +stuck since/);
    await timed('atomic host upgrade --uninstall=third-party');
    await host.reboot();
    assert.equal(await bootedBase(), v3);
    assert.equal(await host.check('greeter'), 'hello from a layer');
    assert.notEqual((await host.run('command -v third')).code, 0);
    assert.doesNotMatch(await host.check('atomic host status'), /^Layers:/m);
    await host.judged();
  });

  scenario(
    'a package that starts processes without end is stopped by systemd, and named; nothing is different',
    async () => {
      const before = await host.deployments();
      // Which scope it is in, seen from beside it.
      await host.check(
        `systemd-run --quiet --unit=watcher sh -c 'while sleep 1; do systemctl list-units --plain --no-legend "atomic-layer-*.scope" ; ` +
          `systemctl show -p TasksMax -p MemoryMax "atomic-layer-*.scope"; done > /root/watched'`,
      );
      const refused = await host.run('atomic host install bomb');
      assert.notEqual(refused.code, 0);
      assert.match(refused.output, /package 'bomb': its postinst started more than 1024 processes and was stopped/);
      await host.check('systemctl stop watcher');
      assert.match(await host.check('cat /root/watched'), /^atomic-layer-\d+-\d+\.scope[\s\S]*^TasksMax=1024$/m);
      assert.deepEqual(await host.deployments(), before);
      assert.equal(await host.check('systemctl list-units --plain --no-legend "atomic-layer-*"'), '');
      assert.ok(Number(await host.check('ls -d /proc/[0-9]* | wc -l')) < 300, 'nothing of it is left');
      assert.equal(await host.check('ls /ostree/extensions/atomic | grep work || true'), '');
      await timed('atomic host install --idempotent livetool');
    },
  );

  scenario('all of it taken back: the tree of the branch, and nothing else', async () => {
    await host.check('atomic host install --idempotent greeter');
    await timed('atomic host reset');
    await host.reboot();
    const { booted } = await host.deployments();
    assert.equal(booted, await bootedBase());
    assert.notEqual((await host.run('command -v greeter')).code, 0);
    assert.match(await host.check('readlink -f /usr/bin/ping; dpkg -s iputils-ping'), /3:20221126-1/);
    await host.judged();
    await host.check('atomic host cleanup -r && ostree fsck --quiet');
    assert.equal(await host.check('ls /ostree/extensions/atomic/packages'), '');
    assert.equal(await host.check('ostree refs --list rpmostree'), '');
  });
});
