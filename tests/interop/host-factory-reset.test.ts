import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { type Deployment, deploy, makeOrigin } from '@atomic/sysroot';
import { BootedSystem, skip } from './booted-system.ts';

/** `atomic host factory-reset`: the command, and the boot that does it. */
const scratch = mkdtempSync(join(tmpdir(), 'atomic-reset-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let system: BootedSystem;
let old: Deployment;

beforeEach(async () => {
  if (skip) return;
  system = await BootedSystem.make(mkdtempSync(join(scratch, 'system-')));
  const rev = await system.commit('3', {
    'usr/lib/systemd/system/atomic-factory-reset.service': '',
    'var/lib/seed': 'from the tree',
    'usr/lib/tmpfiles.d/x.conf': '',
  });
  old = await deploy(system.sysroot, { os: 'os', rev, origin: makeOrigin('os') });
  system.booted = old;
});

const straceMissing = spawnSync('strace', ['-V']).status === 0 ? false : 'needs strace';
const deployments = () => system.sysroot.load().deployments;
const FILL = `
  mkdir -p /var/lib/atomic /var/home/me /var/lib/app; echo x > /var/home/me/file; echo x > /var/lib/app/db
  echo '{}' > /var/lib/atomic/bad-commits.json; echo x > /var/lib/atomic/other; echo mine > /etc/mine`;
const LOOK = `find /var -path '*/.atomic-discarded/*' -prune -o -type f -print | sort`;

describe('atomic host factory-reset', { skip }, () => {
  test('asked for, switched to at shutdown, done by the next boot, once', () => {
    const out = system.inside(`${FILL}
      atomic host initramfs-etc --track=/etc/mine
      atomic host factory-reset 2>&1 </dev/null || echo asks
      atomic host factory-reset --yes
      cat /var/home/me/file
      atomic host factory-reset --boot
      ostree admin finalize-staged`);
    assert.match(out, /confirm it with --yes\n.*\n?asks/);
    assert.match(out, /^nothing to reset$/m, 'this boot is not the one');
    const [next, before] = deployments();
    assert.equal(next?.checksum, old.checksum);
    assert.deepEqual(next?.kargs, ['quiet']);
    assert.ok(!existsSync(`${system.tree(next)}/etc/mine`));
    assert.equal(next?.origin?.get('rpmostree', 'initramfs-etc'), undefined);
    assert.equal(readFileSync(`${system.tree(before)}/etc/mine`, 'utf8'), 'mine\n');

    // The old one booted once more: nothing happens.
    assert.match(system.inside(`atomic host factory-reset --boot; cat /var/home/me/file`), /^nothing to reset\nx$/m);
    system.booted = next;
    const done = system.inside(`atomic host factory-reset --boot; ${LOOK}; cat /var/lib/seed; echo
      test -d /var/.atomic-discarded && echo kept aside; echo new > /var/lib/new
      rm -r /var/.atomic-discarded
      atomic host factory-reset --boot; ${LOOK}`);
    assert.match(done, /^\/var is as new$/m);
    assert.match(done, /^from the tree$/m);
    assert.match(done, /^kept aside$/m);
    const [first = '', second = ''] = done.split('from the tree');
    assert.match(
      first,
      /\/var\/lib\/atomic\/bad-commits\.json\n(?:\/var\/lib\/atomic\/history\.jsonl\n)?\/var\/lib\/seed\n/,
    );
    assert.doesNotMatch(first, /home|app|other|factory-reset\.json/);
    assert.match(second, /nothing to reset\n[\s\S]*\/var\/lib\/new/, 'what came since stays');
  });

  test('cut off at any renaming or unlinking, the next boot goes on', { skip: straceMissing }, (t) => {
    system.inside(`${FILL}\natomic host factory-reset --yes\nostree admin finalize-staged`);
    const [next] = deployments();
    system.booted = next;
    const disk = join(scratch, 'disk');
    const lost = join(system.root, 'ostree/deploy/os/var');
    execFileSync('cp', ['-a', lost, disk]);
    let cuts = 0;
    for (let whole = false; !whole; cuts++) {
      assert.ok(cuts < 30);
      rmSync(lost, { recursive: true });
      execFileSync('cp', ['-a', disk, lost]);
      const out = system.inside(`
        strace -f -qq -o /dev/null -e trace=rename,unlink -e inject=rename,unlink:signal=KILL:when=${cuts + 1} \\
          atomic host factory-reset --boot > /dev/null 2>&1 && echo whole
        atomic host factory-reset --boot
        ${LOOK}`);
      assert.doesNotMatch(out, /home|app|other|factory-reset\.json/);
      assert.match(out, /\/var\/lib\/seed/);
      whole = /^whole$/m.test(out);
    }
    t.diagnostic(`${cuts - 1} cuts`);
    assert.ok(cuts > 3);
  });

  test('cancelled', () => {
    const out = system.inside(`${FILL}
      atomic host initramfs-etc --track=/etc/mine
      atomic host factory-reset --yes
      atomic host factory-reset --cancel
      atomic host factory-reset --cancel
      ostree admin status
      ls /var/lib/atomic`);
    assert.match(out, /^The factory reset will not happen\.$/m);
    assert.match(out, /^There is no factory reset to cancel\.$/m);
    assert.doesNotMatch(out, /staged\)|factory-reset\.json/);
  });

  test('asked for by the kernel command line: deployed without that argument, for the boot after', () => {
    const out = system.inside(`${FILL}
      atomic host initramfs-etc --track=/etc/mine
      echo quiet systemd.factory_reset=1 > /tmp/cmdline
      mount --bind /tmp/cmdline /proc/cmdline
      atomic host kargs --append=systemd.factory_reset=1 --append=stays
      ostree admin finalize-staged
      atomic host factory-reset --boot
      cat /run/systemctl.log`);
    assert.match(out, /^rebooting for the reset$/m);
    assert.match(out, /^reboot$/m);
    const [next] = deployments();
    assert.deepEqual(next?.kargs, ['quiet'], 'those of what runs, without the wish');
    system.booted = next;
    const again = system.inside(`
      echo quiet systemd.factory_reset=1 > /tmp/cmdline
      mount --bind /tmp/cmdline /proc/cmdline
      atomic host factory-reset --boot
      atomic host factory-reset --boot
      ${LOOK}`);
    assert.match(again, /^\/var is as new\nnothing to reset$/m, 'an argument that stays makes no circle');
    assert.doesNotMatch(again, /home/);
  });
});
