// New versions that fail, on machines that go back by themselves: through the boot loader's own counting where the
// kernel does not come up, through the checks where something of the system does not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { type Host, Lab, skip, skipInCi } from './lab.ts';

const Report = z.object({
  state: z.string(),
  summary: z.string(),
  bad: z.array(
    z.object({
      checksum: z.string(),
      reason: z.string(),
      output: z.string().optional(),
      lastWords: z.string().optional(),
      rolledBackTo: z.string().optional(),
    }),
  ),
  last: z
    .object({ verdict: z.string(), checks: z.array(z.object({ name: z.string(), state: z.string() })) })
    .nullable(),
});

const health = async (host: Host) => Report.parse(JSON.parse(await host.check('atomic host health --json')));

/** Waits until the boot is judged: the unit is a one-shot that stays. */
const judged = (host: Host) =>
  host.check('systemctl start atomic-health-check.service || true; systemctl is-active atomic-health-check.service');

/** A unit that the boot starts and that ends as `script` does. */
const unit = (name: string, script: string, more = '') => ({
  [`usr/lib/systemd/system/${name}.service`]: `[Service]\nType=oneshot\nRemainAfterExit=yes\n${more}ExecStart=/bin/sh -c '${script}'\n`,
  [`usr/lib/systemd/system/multi-user.target.d/${name}.conf`]: `[Unit]\nWants=${name}.service\nAfter=${name}.service\n`,
});

const TIMEOUT = { skip, timeout: 30 * 60_000 };
let lab: Lab;
before(async () => {
  if (skip === false) lab = await Lab.open('health');
});
after(async () => {
  if (skip === false) await lab[Symbol.asyncDispose]();
});

test('a required unit fails: the machine goes back, says why, and takes the version no more', TIMEOUT, async (t) => {
  await using host = await lab.host({ loader: 'grub-bios' });
  assert.equal((await health(host)).state, 'good', 'version 1 proved itself in its first boot');
  assert.equal(await host.check('systemctl show --property=RuntimeWatchdogUSec --value'), '1min');
  const v2 = await lab.commit({
    version: '2',
    files: {
      ...unit('printer', 'echo the printer is on fire; exit 3'),
      'usr/lib/atomic/health.d/printer.conf': '[Health]\nRequiredUnits=printer.service\n',
    },
  });
  await host.check('atomic host upgrade');
  const start = performance.now();
  await host.machine.reboot();
  await host.rebootsByItself();
  t.diagnostic(`from reboot into the bad version to a login in the old one: ${seconds(start)} s`);
  await host.expectBooted(lab.v1.commit, '1');
  const report = await health(host);
  assert.equal(report.state, 'rolled-back');
  assert.match(report.summary, /printer\.service/);
  assert.equal(report.bad[0]?.checksum, v2);
  assert.match(report.bad[0]?.reason ?? '', /printer\.service: failed \(exit-code\)/);
  assert.equal(report.bad[0]?.rolledBackTo, lab.v1.commit);
  assert.match(await host.check('cat /run/motd.d/*'), /went back from 2 .*printer/);
  // It stays where it is.
  await judged(host);
  await host.reboot();
  await host.expectBooted(lab.v1.commit, '1');
  // A version that is better supersedes it.
  const v3 = await lab.commit({ version: '3' });
  await host.check('atomic host upgrade');
  await host.reboot();
  await judged(host);
  await host.expectBooted(v3, '3');
  assert.equal((await health(host)).state, 'good');
});

test('a kernel that panics: the boot loader goes back, and the next boot knows what happened', TIMEOUT, async (t) => {
  // Where the firmware keeps what the kernel said last.
  const memory = `memory-backend-file,id=erst,mem-path=${lab.folder}/erst,size=64K,share=on`;
  const extraArguments = ['-object', memory, '-device', 'acpi-erst,memdev=erst'];
  await using host = await lab.host({ loader: 'grub-bios', extraArguments });
  await judged(host);
  const backend = await host.check('cat /sys/module/pstore/parameters/backend');
  const v2 = await lab.commit({ version: '4', brokenKernel: true });
  await host.check('atomic host upgrade');
  const start = performance.now();
  await host.machine.reboot();
  await host.rebootsByItself(3);
  t.diagnostic(`from reboot into a panic to a login in the old version, three panics between: ${seconds(start)} s`);
  await host.expectBooted(lab.v1.commit, '1');
  assert.match(host.log, /Kernel panic/);
  await judged(host);
  const report = await health(host);
  assert.equal(report.state, 'rolled-back');
  assert.equal(report.bad[0]?.checksum, v2);
  assert.match(report.bad[0]?.reason ?? '', /never came up/);
  if (backend === 'erst')
    assert.match(report.bad[0]?.lastWords ?? '', /Kernel panic - not syncing: VFS: Unable to mount/);
  else t.diagnostic(`last words not looked for: this kernel keeps none in ACPI ERST (backend ${backend})`);
  // The old version is the default again, without the menu's counting.
  assert.equal((await host.deployments()).order[0], lab.v1.commit);
  await host.reboot();
  await host.expectBooted(lab.v1.commit, '1');
});

test('a boot that hangs: its deadline ends it', { ...TIMEOUT, skip: skipInCi }, async (t) => {
  await using host = await lab.host({ loader: 'grub-bios' });
  await lab.commit({
    version: '5',
    files: {
      ...unit('forever', 'sleep infinity', 'TimeoutStartSec=infinity\n'),
      'usr/lib/atomic/health.d/slow.conf': '[Health]\nDeadlineSec=60\n',
    },
  });
  await host.check('atomic host upgrade');
  const start = performance.now();
  await host.machine.reboot();
  await host.rebootsByItself();
  t.diagnostic(`from reboot into the version that hangs to a login in the old one: ${seconds(start)} s`);
  await host.expectBooted(lab.v1.commit, '1');
  const [bad] = (await health(host)).bad;
  assert.match(bad?.reason ?? '', /no verdict within 60 s/);
  assert.match(bad?.output ?? '', /forever\.service/);
});

test('a systemd that hangs: the watchdog resets the machine, which goes back', {
  ...TIMEOUT,
  skip: skipInCi,
}, async (t) => {
  await using host = await lab.host({ loader: 'grub-bios' });
  // The kernel of the tree drives no hardware's; what systemd does when it crashes is to stand still.
  await lab.commit({
    version: '6',
    files: {
      'usr/lib/modules-load.d/softdog.conf': 'softdog\n',
      ...unit('crash', 'test -c /dev/watchdog0 && kill -SEGV 1; sleep infinity', 'TimeoutStartSec=infinity\n'),
    },
  });
  await host.check('atomic host upgrade');
  const start = performance.now();
  await host.machine.reboot();
  await host.rebootsByItself(3);
  t.diagnostic(`from reboot into the version that hangs to a login in the old one, three resets: ${seconds(start)} s`);
  assert.match(host.log, /softdog: Initiating system reboot/);
  await host.expectBooted(lab.v1.commit, '1');
  await judged(host);
  const report = await health(host);
  assert.equal(report.state, 'rolled-back');
  assert.match(report.bad[0]?.reason ?? '', /booted 3 times of 3 and its checks never came to an end/);
});

function seconds(start: number): string {
  return ((performance.now() - start) / 1000).toFixed(0);
}
