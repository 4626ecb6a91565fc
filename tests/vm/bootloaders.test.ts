// One true pass through each boot loader: upgrade and rollback, started by firmware and the disk's own loader. The
// loader has to have taken the entry that was written for it, and a version that has to prove itself is counted by it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Host, Lab, type LoaderKind, skip } from './lab.ts';

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

  for (const loader of ['grub-bios', 'grub-uefi', 'systemd-boot'] as const) {
    test(`${loader}: upgrade, rollback`, async (t) => {
      await using host = await lab.host({ loader, signal: t.signal });
      try {
        if (loader === 'systemd-boot') {
          const info = await host.check("tail -c +5 /sys/firmware/efi/efivars/LoaderInfo-* | tr -d '\\0'");
          assert.match(info, /^systemd-boot/);
          assert.equal(await host.check('findmnt -no FSTYPE /boot'), 'ext4');
        }
        await host.check('atomic host upgrade');
        const before = host.log.length;
        await host.reboot();
        await host.expectBooted(v2, '2');
        await expectEntry(host, 0);
        assert.match(loader === 'systemd-boot' ? host.log : host.log.slice(before), SEEN[loader]);
        await host.check('atomic host rollback');
        await host.reboot();
        await host.expectBooted(lab.v1.commit, '1');
        await expectEntry(host, 0);
        assert.deepEqual((await host.deployments()).order, [lab.v1.commit, v2]);
      } catch (error) {
        console.log(host.log.slice(-3000));
        throw error;
      }
    });
  }
});
