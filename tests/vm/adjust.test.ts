// What only a real boot shows of the verbs that change a running host: systemd's timers, the order of units early in a
// boot, power cuts in between.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Host, Lab, scenarios, skipInCi } from './lab.ts';

describe('changes of a running host', { skip: skipInCi, concurrency: 1, timeout: 30 * 60_000 }, () => {
  let lab: Lab;
  let host: Host;
  before(async () => {
    lab = await Lab.open('adjust');
    host = await lab.host();
  });
  after(async () => {
    await host[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });
  const scenario = scenarios(() => host);
  /** Waits for a line of shell to succeed. */
  const until = async (condition: string, seconds: number) => {
    for (const end = Date.now() + seconds * 1000; ; await sleep(2000)) {
      if ((await host.run(condition)).code === 0) return;
      assert.ok(Date.now() < end, `not within ${seconds} s: ${condition}`);
    }
  };

  scenario('a change that nobody confirms is taken back by its timer', async () => {
    await host.check(`atomic host try --timeout=10s --on-revert='touch /run/undone' -- sh -c 'echo x > /etc/tried'`);
    await until('test -e /run/undone', 120);
    await host.check('test ! -e /etc/tried');
    assert.match(await host.check('atomic host try --status'), /^Taken back: .*not confirmed in time/);
  });

  scenario('the power lost in between: taken back early in the next boot, or given the rest of its time', async () => {
    await host.check(`atomic host try --timeout=1h -- sh -c 'echo x > /etc/tried'; sync`);
    await host.powerCut();
    assert.equal(await host.check('cat /etc/tried'), 'x');
    await host.check('systemctl is-active atomic-try-revert.timer');
    await host.check('atomic host try --confirm');
    await host.check(`atomic host try --timeout=1s --on-revert='touch /run/undone' -- sh -c 'echo y > /etc/tried'
      systemctl stop atomic-try-revert.timer; sync`);
    await host.powerCut();
    assert.equal(await host.check('cat /etc/tried'), 'x');
    await host.check('systemctl is-active atomic-try.service; journalctl -b -u atomic-try | grep "Taken back"');
  });

  scenario('the running /usr becomes the next version, and after the reboot is it', async () => {
    const commit = await lab.commit({ version: '2', files: { 'usr/share/live': 'two\n', 'usr/etc/live': 'two\n' } });
    await host.check('atomic host upgrade');
    await host.check('atomic host apply-live --allow-replacement');
    assert.equal(await host.check('cat /usr/share/live /etc/live'), 'two\ntwo');
    assert.equal((await host.run('touch /usr/x')).code === 0, false);
    assert.match(await host.check('atomic host status'), new RegExp(`LiveCommit: ${commit}`));
    await host.reboot();
    await host.expectBooted(commit, '2');
    assert.doesNotMatch(await host.check('atomic host status; ostree admin config-diff'), /LiveCommit|live/);
  });

  scenario('kernel arguments and files of /etc for the initramfs are there after the reboot', async () => {
    await host.check('atomic host kargs --append=atomic.test=1');
    await host.check('echo secret > /etc/early; atomic host initramfs-etc --track=/etc/early');
    await host.reboot();
    await host.check('grep -q atomic.test=1 /proc/cmdline');
    assert.match(await host.check('atomic host status'), /InitramfsEtc: \/etc\/early/);
  });

  scenario('a factory reset: /etc and /var as new, the version stays', async () => {
    await host.check(
      'mkdir -p /var/lib/app; echo x > /var/lib/app/db; echo x > /etc/mine; ln -s /dev/null /var/lib/null',
    );
    await host.check('atomic host factory-reset --yes');
    assert.equal(await host.check('cat /var/lib/app/db /etc/mine'), 'x\nx');
    await host.reboot();
    await host.check('test ! -e /var/lib/app && test ! -e /etc/mine && test ! -L /var/lib/null');
    assert.match(await host.check('atomic host status'), /Version: 2 /);
    await until('test ! -e /var/.atomic-discarded', 120);
    await host.check('test ! -e /var/lib/atomic/factory-reset.json && test -d /var/log/journal -o -d /run/log/journal');
    await host.check('echo new > /var/lib/new');
    await host.reboot();
    assert.equal(await host.check('cat /var/lib/new'), 'new', 'once');
  });
});
