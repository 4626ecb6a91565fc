// The examples of a workstation and of an embedded device, as machines: what they promise, and what they weigh.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  buildImage,
  type ComposeResult,
  composeTree,
  loadTreefile,
  makeDeltas,
  publish,
  treeKargs,
} from '@atomic/compose';
import type { Repo } from '@atomic/ostree';
import { EMULATED_KARGS, Machine, serveRepo } from '@atomic/vm';
import { LOGIN } from '../../demo/demo.ts';
import { asFirst, BOOT_SECONDS, Lab, openTrees, skip } from './lab.ts';
import { cachedir, stateFolder } from './setup.ts';

const whyNot = skip || (process.env['IMAGES_MACHINE'] === undefined ? 'takes minutes: make images-test' : false);

describe('the examples', { skip: whyNot, concurrency: 1, timeout: 40 * 60_000 }, () => {
  const folder = stateFolder('examples');
  const compose = async (name: string): Promise<{ repo: Repo; result: ComposeResult }> => {
    const repo = await openTrees('examples');
    const treefile = loadTreefile(join(import.meta.dirname, `trees/${name}.yaml`));
    return { repo, result: await composeTree({ treefile, repo, cachedir, parent: null }) };
  };
  after(() => {
    if (process.env['ATOMIC_KEEP'] === undefined) rmSync(join(folder, 'workstation.raw'), { force: true });
  });

  test('the embedded device updates itself by a static delta alone, and proves the update before it stays', async (t) => {
    const { repo, result } = await compose('iot');
    const { ref } = result;
    await using lab = await Lab.of('iot', { repo: repo.path, v1: asFirst(result), images: 'iot-images' });
    await using host = await lab.host({ loader: 'grub-bios' });
    await host.judged();
    const free = await host.check(
      "awk '/^MemTotal/{t=$2} /^MemAvailable/{print int((t-$2)/1024)}' /proc/meminfo; df -m /sysroot | awk 'END{print $3}'",
    );
    t.diagnostic(`memory and disk in use, MiB: ${free.replace('\n', ', ')}`);
    const text = 'measured once an hour\n'.repeat(1000);
    // Without a new initramfs: large files that are wholly new go beside a delta, as objects.
    const v2 = await lab.commit({ version: '2', newKernel: false, files: { 'usr/share/device/notes': text } });
    assert.equal((await makeDeltas(lab.repo, ref, v2, 1)).length, 1);
    await publish(lab.repo, {});
    // Whoever takes the delta needs nothing of the new version but its commit.
    const needless = /^\/objects\/.*\.(filez|dirtree|dirmeta)$/;
    await using server = await serveRepo(lab.repo.path, {
      fault: (name) => (needless.test(name) ? { kind: 'status', status: 404 } : undefined),
    });
    await host.check(`sed -i 's#^url=.*#url=http://10.0.2.2:${server.port}/#' /ostree/repo/config`);
    const before = server.stats.bytes;
    await host.check('atomic host upgrade');
    t.diagnostic(`the update fetched ${server.stats.bytes - before} bytes`);
    await host.reboot();
    await host.expectBooted(v2, '2');
    assert.equal(await host.check('wc -l < /usr/share/device/notes'), '1000');
    await host.judged();
    assert.equal(JSON.parse(await host.check('atomic host health --json')).state, 'good');
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
    // The update that does not come up takes itself back, by the boot loader's own counting.
    const v3 = await lab.commit({ version: '3', base: v2, brokenKernel: true });
    await makeDeltas(lab.repo, ref, v3, 1);
    await publish(lab.repo, {});
    await host.check('atomic host upgrade');
    await host.machine.reboot();
    // It panics as often as it may try.
    await host.rebootsByItself(3);
    await host.expectBooted(v2, '2');
    await host.judged();
    assert.equal(JSON.parse(await host.check('atomic host health --json')).bad[0]?.checksum, v3);
  });

  test('the workstation comes up to its graphical login, and that to the desktop', async (t) => {
    const { repo, result } = await compose('workstation');
    const out = join(folder, 'workstation.raw');
    const kargs = [...treeKargs(repo, result.commit), ...EMULATED_KARGS];
    const size = 6 * 2 ** 30;
    await buildImage({
      repo,
      ref: result.ref,
      out,
      format: 'raw',
      size,
      os: 'debian',
      kargs,
      firmware: ['bios', 'uefi'],
    });
    await using machine = await Machine.start({
      ...{ disk: out, format: 'raw', boot: 'loader', memoryMiB: 2048 },
      extraArguments: ['-device', 'VGA'],
    });
    await machine.login({ ...LOGIN, timeoutSeconds: 2 * BOOT_SECONDS });
    await machine.run('systemctl is-system-running --wait', { timeoutSeconds: BOOT_SECONDS });
    assert.equal(await machine.check('systemctl is-active graphical.target lightdm NetworkManager | uniq'), 'active');
    await machine.check(`sh -c '${waitFor('lightdm-gtk-greeter')}'`, { timeoutSeconds: 300 });
    assert.equal(await machine.check('systemctl --failed --plain --no-legend'), '');
    assert.match(await machine.check('atomic host status'), new RegExp(result.commit));
    /** A picture of the screen on which `least` of it is drawn. Programs draw some time after they were started. */
    const picture = async (name: string, least: number): Promise<void> => {
      const path = join(folder, `workstation-${name}.ppm`);
      let drawn = 0;
      // Twice: the first may be of a screen half wiped.
      for (let i = 0, times = 0; i < 150 && times < 2; i++) {
        await machine.check('sleep 2');
        await machine.qmp('screendump', { filename: path });
        drawn = drawnShare(readFileSync(path));
        times = drawn >= least ? times + 1 : 0;
      }
      t.diagnostic(`${path}: ${(100 * drawn).toFixed(1)} % of the screen is drawn on`);
      assert.ok(drawn >= least, `the screen shows the ${name}`);
    };
    // A bar and a box in the middle; before that it is a pointer on a plain screen.
    await picture('login', 0.05);
    for (const key of [...'atomic', 'ret']) await machine.qmp('send-key', { keys: [{ type: 'qcode', data: key }] });
    await machine.check(`sh -c '${waitFor('xfce4-panel', 'ada')}'`, { timeoutSeconds: 600 });
    await picture('desktop', 0.05);
    assert.match(await machine.check('loginctl --no-legend'), / ada +seat0 /);
    assert.equal(await machine.check('systemctl --failed --plain --no-legend'), '');
    assert.equal(await machine.check('systemctl --user -M ada@ --failed --plain --no-legend'), '');
    await machine.powerOff();
  });
});

/** Shell that waits until a user runs a program. */
const waitFor = (program: string, user = 'lightdm'): string =>
  `for i in $(seq 250); do pgrep -u ${user} -f ${program} && exit; sleep 1; done; exit 1`;

/** The share of a picture that has another colour than most of it. Format: ppm(5), P6. */
function drawnShare(ppm: Buffer): number {
  const header = /^P6\s+\d+\s+\d+\s+255\s/.exec(ppm.subarray(0, 64).toString('latin1'));
  assert.ok(header, 'a picture of QEMU');
  const found = new Map<number, number>();
  for (let at = header[0].length; at + 2 < ppm.length; at += 3) {
    const colour = ppm.readUIntBE(at, 3);
    found.set(colour, (found.get(colour) ?? 0) + 1);
  }
  return 1 - (3 * Math.max(...found.values())) / (ppm.length - header[0].length);
}
