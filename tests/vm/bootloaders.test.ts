// One true pass through each boot loader: upgrade and rollback, started by firmware and the disk's own loader. The
// loader has to have taken the entry that was written for it, and a version that has to prove itself is counted by it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Host, Lab, type LoaderKind, skip, skipInCi } from './lab.ts';

/** What the console shows of each loader; firmware and GRUB write to the serial line. */
const SEEN: Record<Exclude<LoaderKind, 'direct'>, RegExp> = {
  'grub-bios': /GNU GRUB +version/,
  'grub-uefi': /BdsDxe: starting Boot[\s\S]*GNU GRUB +version/,
  'systemd-boot': /BdsDxe: starting Boot/,
};

describe('boot loaders', { skip, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let lab: Lab;
  let v2 = '';
  before(async () => {
    lab = await Lab.open('bootloaders');
    v2 = await lab.commit({ version: '2' });
  });
  after(() => lab[Symbol.asyncDispose]());

  /** The kernel was started with the arguments of the entry at a place in the boot order. */
  async function expectEntry(host: Host, index: number): Promise<void> {
    const file = `$(ls -r /boot/loader/entries/*.conf | sed -n ${index + 1}p)`;
    const options = await host.check(`sed -n 's/^options //p' ${file}`);
    const cmdline = await host.check('cat /proc/cmdline');
    assert.ok(cmdline.includes(options), `${cmdline} has not the arguments of entry ${index}: ${options}`);
  }

  /** The new version was counted as tried once, and proved itself. */
  async function expectTrialEnded(host: Host, loader: LoaderKind): Promise<void> {
    await host.judged();
    if (loader === 'systemd-boot') {
      const variables = await host.check('ls /sys/firmware/efi/efivars');
      assert.match(variables, /LoaderEntrySelected-/);
      assert.doesNotMatch(variables, /LoaderEntryOneShot-|LoaderEntryDefault-/);
      return;
    }
    const environment = await host.check('tr -d "#" < /boot/loader/grubenv');
    assert.match(environment, /boot_success=1/);
    const number = (name: string) => Number(new RegExp(`${name}=(\\d)`).exec(environment)?.[1]);
    assert.equal(number('boot_counter'), number('boot_tries') - 1, environment);
  }

  /** With GRUB, health.test.ts has this. */
  async function panicAndReturn(host: Host): Promise<void> {
    await lab.commit({ version: '3', brokenKernel: true });
    await host.judged();
    await host.check('atomic host upgrade');
    const start = performance.now();
    await host.machine.reboot();
    await host.rebootsByItself();
    console.log(`from reboot into a panic to a login on the old version: ${(performance.now() - start) / 1000} s`);
    assert.match(host.log, /Kernel panic/);
    await host.expectBooted(lab.v1.commit, '1');
    await host.judged();
    assert.equal((await host.deployments()).order[0], lab.v1.commit, 'the old version boots from now on');
  }

  for (const loader of ['grub-bios', 'grub-uefi', 'systemd-boot'] as const) {
    // GRUB from a BIOS is what the demonstration and the tests of health boot.
    test(`${loader}: upgrade, rollback`, { skip: loader === 'grub-bios' && skipInCi }, async (t) => {
      await using host = await lab.host({ loader, signal: t.signal });
      try {
        if (loader === 'systemd-boot') {
          const info = await host.check("cat /sys/firmware/efi/efivars/LoaderInfo-* | tail -c +5 | tr -d '\\0'");
          assert.match(info, /^systemd-boot/);
          assert.equal(await host.check('findmnt -no FSTYPE /boot'), 'ext4');
        }
        await host.check('atomic host upgrade');
        const before = host.log.length;
        await host.reboot();
        await host.expectBooted(v2, '2');
        await expectEntry(host, 0);
        await expectTrialEnded(host, loader);
        assert.match(loader === 'systemd-boot' ? host.log : host.log.slice(before), SEEN[loader]);
        await host.check('atomic host rollback');
        await host.reboot();
        await host.expectBooted(lab.v1.commit, '1');
        await expectEntry(host, 0);
        assert.deepEqual((await host.deployments()).order, [lab.v1.commit, v2]);
        if (loader === 'systemd-boot') await panicAndReturn(host);
      } catch (error) {
        console.log(host.log.slice(-3000));
        throw error;
      }
    });
  }
});
