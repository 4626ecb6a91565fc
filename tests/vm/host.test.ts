// The life of a host in real machines, where what matters is not the boot loader: the kernel is the one that the disk's
// own first boot entry names, loaded by QEMU. One machine goes through several scenarios, each from where the last left.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Host, Lab, scenarios, skip } from './lab.ts';

describe('the life of a host', { skip, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let lab: Lab;
  let host: Host;
  before(async () => {
    lab = await Lab.open('host');
    host = await lab.host();
  });
  after(async () => {
    await host[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });
  const scenario = scenarios(() => host);
  const versions: string[] = [];

  scenario(
    'staged, and the power lost before it was finalised: the old version, whole, and it can be done again',
    async () => {
      versions.push(await lab.commit({ version: '2' }));
      await host.check('echo mine > /etc/mine.conf; echo kept > /var/lib/kept; sync');
      await host.check('atomic host upgrade');
      const [first] = (await host.status()).deployments;
      assert.deepEqual([first?.checksum, first?.staged], [versions[0], true]);
      await host.powerCut();
      await host.expectBooted(lab.v1.commit, '1');
      assert.deepEqual((await host.deployments()).order, [lab.v1.commit], 'nothing is staged any more');
      await host.check('ostree fsck --quiet');
      const start = performance.now();
      const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
      // The largest it ever was, in KiB (proc_pid_status(5)); the guest has 512 MiB.
      const peak = Number(
        await host.check(
          'atomic host upgrade >/run/said 2>&1 & while m=$(grep -s VmHWM /proc/$!/status); do last=$m; sleep 0.2; ' +
            'done; wait $! && echo "$last" | tr -dc 0-9',
        ),
      );
      console.log(`upgraded after ${seconds()} s, with ${Math.round(peak / 1024)} MiB at most`);
      assert.ok(peak > 0 && peak < 200 * 1024, `the upgrade took ${peak} KiB of memory`);
      await host.reboot();
      console.log(`from the command to a login on the new version: ${seconds()} s`);
      await host.expectBooted(versions[0] ?? '', '2');
      // Else the version before the one that has not proved itself is kept as well.
      await host.judged();
      assert.equal(await host.check('cat /etc/mine.conf /var/lib/kept'), 'mine\nkept');
    },
  );

  scenario('pinned, a version stays through the upgrades that follow; three in a row', async () => {
    const { order } = await host.deployments();
    assert.deepEqual(order, [versions[0], lab.v1.commit]);
    await host.check('atomic host pin 1');
    for (const version of ['3', '4']) {
      // The second has the same kernel: only the links behind the entries' arguments change.
      const commit = await lab.commit({ version, newKernel: version === '3', base: versions.at(-1) });
      versions.push(commit);
      await host.check('atomic host upgrade');
      await host.reboot();
      await host.expectBooted(commit, version);
      await host.judged();
    }
    assert.deepEqual((await host.deployments()).order, [versions[2], versions[1], lab.v1.commit]);
    await host.check('atomic host unpin 2');
  });

  scenario('rolled back, then kernel arguments changed on the old version', async () => {
    await host.check('echo from-4 > /etc/fourth.conf; atomic host rollback');
    await host.check('atomic host kargs --append=atomic.test=yes --append-if-missing=quiet');
    await host.reboot();
    await host.expectBooted(versions[1] ?? '', '3');
    const cmdline = (await host.check('cat /proc/cmdline')).split(' ');
    assert.equal(cmdline.filter((word) => word === 'atomic.test=yes').length, 1);
    assert.equal(cmdline.filter((word) => word === 'quiet').length, 1);
  });

  scenario("rebased to a different tree: its /usr, this machine's /etc and /var", async () => {
    const branch = 'debian/12/amd64/other';
    const other = await lab.commit({
      version: 'other',
      branch,
      files: { 'usr/share/other/name': 'other\n', 'usr/etc/other.conf': 'a default of the other tree\n' },
    });
    await host.check(`atomic host rebase ${branch}`);
    await host.reboot();
    await host.expectBooted(other, 'other');
    assert.equal(
      await host.check('cat /etc/other.conf /usr/share/other/name /etc/mine.conf /var/lib/kept'),
      'a default of the other tree\nother\nmine\nkept',
    );
    assert.match(await host.check('cat /proc/cmdline'), /atomic\.test=yes/, 'kernel arguments come along');
    const next = await lab.commit({ version: 'other-2', branch, base: other, newKernel: false });
    assert.match(await host.check('atomic host upgrade --check'), new RegExp(`other-2|${next.slice(0, 10)}`));
  });
});

describe('a /boot of its own, and full', { skip, concurrency: 1, timeout: 30 * 60_000 }, () => {
  test('an upgrade for which there is no room is refused and changes nothing; with room it goes through', async () => {
    await using lab = await Lab.open('boot-full');
    const v2 = await lab.commit({ version: '2' });
    await using host = await lab.host({ bootSize: 96 << 20 });
    await host.check('mountpoint -q /boot; dd if=/dev/zero of=/boot/left-over bs=1M count=200 2>/dev/null; sync; true');
    const entries = await host.check('cat /boot/loader/entries/*');
    const refused = await host.run('atomic host upgrade');
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, /not enough space in \/boot: .* free [\d.]+ MiB more/);
    assert.match(refused.output, /left-over/);
    assert.equal(await host.check('cat /boot/loader/entries/*'), entries);
    assert.deepEqual((await host.deployments()).order, [lab.v1.commit]);
    await host.check('rm /boot/left-over; atomic host upgrade');
    await host.reboot();
    await host.expectBooted(v2, '2');
    assert.deepEqual((await host.deployments()).order, [v2, lab.v1.commit]);
  });
});
