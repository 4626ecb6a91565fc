import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { BootedSystem, skip } from './booted-system.ts';

/** `atomic host try`: changes that take themselves back. */
const scratch = mkdtempSync(join(tmpdir(), 'atomic-try-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let system: BootedSystem;
beforeEach(async () => {
  if (!skip) system = await BootedSystem.make(mkdtempSync(join(scratch, 'system-')));
});

const etc = (name: string) => readFileSync(`${system.tree()}/etc/${name}`, 'utf8');
const statePath = () => `${system.root}/ostree/deploy/os/var/lib/atomic/try/state.json`;
const state = (): Record<string, unknown> => JSON.parse(readFileSync(statePath(), 'utf8'));
const straceMissing = spawnSync('strace', ['-V']).status === 0 ? false : 'needs strace';
/** The command that systemd was told to run later. */
const LATER = `$(grep '^systemd-run' /run/systemctl.log | tail -1 | sed 's/.* -- //')`;

describe('atomic host try', { skip }, () => {
  test('kept when it is confirmed', () => {
    const out = system.inside(`
      atomic host try --timeout=20min -- sh -c 'echo mine > /etc/conf; mkdir /etc/d; rm -f /etc/none'
      atomic host try -- true 2>&1 || echo refused
      atomic host try --status
      atomic host try --confirm
      atomic host try --confirm 2>&1 || echo nothing
      atomic host try --status
      ${LATER}
      cat /run/systemctl.log`);
    assert.match(out, /^\/etc: 1 modified, 0 removed, 1 added$/m);
    assert.match(out, /^All of it is taken back in 20min, unless/m);
    assert.match(out, /being tried already/);
    assert.match(out, /^On trial: sh -c .*; taken back in (19min 5\ds|20min)$/m);
    assert.match(out, /^Kept\.$/m);
    assert.match(out, /^systemd-run .*--on-active=1200s .* host try --revert --id=[0-9a-f]{16}$/m);
    assert.match(out, /^stop atomic-try-revert\.timer$/m);
    assert.equal(etc('conf'), 'mine\n', 'a timer that comes too late does nothing');
    assert.equal(state()['phase'], 'confirmed');
    assert.deepEqual(readdirSync(join(statePath(), '..')), ['state.json'], 'the copy of /etc is gone');
  });

  test('taken back by the timer, with all that came with it', () => {
    const out = system.inside(`
      echo secret > /etc/shadow; chmod 600 /etc/shadow
      atomic host try --on-revert='echo restarted' -- sh -c '
        echo mine > /etc/conf; mkdir /etc/d; rm /etc/shadow; mkdir /etc/shadow
        atomic host kargs --append=broken; ostree admin pin booted'
      ostree admin status | grep -c staged
      ${LATER}
      ls -ld /etc/shadow | cut -c1-10
      cat /etc/shadow
      atomic host try --status
      ostree admin status`);
    assert.equal(etc('conf'), 'default 1');
    assert.match(out, /^Taken back: 2 files restored, 1 removed in \/etc$/m);
    assert.match(out, /^The boot entries are as they were\.$/m);
    assert.match(out, /^restarted$/m);
    assert.match(out, /^-rw-------\nsecret$/m);
    assert.match(out, /^Taken back: .*not confirmed in time\)$/m);
    const status = out.slice(out.lastIndexOf('* os'));
    assert.doesNotMatch(status, /staged|Pinned/);
    assert.deepEqual(
      system.sysroot.load().deployments.map(({ kargs, pinned }) => [kargs, pinned]),
      [[['quiet'], false]],
    );
  });

  test('taken back at once when the command fails, and by hand', () => {
    const out = system.inside(`
      atomic host try -- sh -c 'echo mine > /etc/conf; exit 3' 2>&1 || echo status $?
      cat /etc/conf; echo
      atomic host try -- /no/such/program 2>&1 || echo status $?
      atomic host try
      echo mine > /etc/conf
      atomic host try --revert
      cat /etc/conf; echo
      atomic host try --revert 2>&1 || echo nothing`);
    assert.equal(out.match(/^default 1$/gm)?.length, 2, out);
    assert.match(out, /^status 3$/m);
    assert.match(out, /^status 127$/m);
    assert.match(out, /nothing is being tried/);
  });

  test('after a power cut: the timer again, or back at once; a reverting that was cut off is completed', () => {
    system.inside(`atomic host try --timeout=1h -- sh -c 'echo mine > /etc/conf; echo new > /etc/new'`);
    const again = system.inside(`atomic host try --resume; cat /run/systemctl.log`);
    assert.match(again, /^systemd-run .*--on-active=3[56]\d\ds/m);
    assert.equal(etc('conf'), 'mine\n');
    // Long ago; and half of it is back already.
    writeFileSync(statePath(), JSON.stringify({ ...state(), started: Date.now() - 3_700_000 }));
    rmSync(`${system.tree()}/etc/new`);
    system.inside('atomic host try --resume');
    assert.equal(etc('conf'), 'default 1');
    assert.equal(state()['phase'], 'reverted');
    assert.equal(system.inside('atomic host try --resume'), '', 'once');
  });

  test('killed at any renaming or unlinking of the taking back, the next boot completes it', {
    skip: straceMissing,
  }, (t) => {
    system.inside(
      `mkdir /etc/d; echo 1 > /etc/d/one; echo 2 > /etc/d/two; ln -s one /etc/d/link; echo 3 > /etc/d/gone`,
    );
    const wanted = system.inside('cd /etc; find . -type f | sort | xargs sha256sum; readlink d/link');
    let cuts = 0;
    for (let whole = false; !whole; cuts++) {
      assert.ok(cuts < 40);
      const out = system.inside(`
        atomic host try --timeout=1s -- sh -c '
          echo x > /etc/d/one; rm -r /etc/d/two /etc/d/link; mkdir /etc/d/two; echo x > /etc/d/link; rm /etc/d/gone; echo x > /etc/new'
        strace -f -qq -o /dev/null -e trace=rename,unlink -e inject=rename,unlink:signal=KILL:when=${cuts + 1} \\
          atomic host try --revert > /dev/null 2>&1 && echo whole
        sleep 1
        atomic host try --resume > /dev/null
        atomic host try --status`);
      assert.match(out, /^Taken back: /m);
      assert.equal(system.inside('cd /etc; find . -type f | sort | xargs sha256sum; readlink d/link'), wanted);
      whole = /^whole$/m.test(out);
    }
    t.diagnostic(`${cuts - 1} cuts`);
    assert.ok(cuts > 3);
  });

  test('rebooted into what was tried: back to the deployment it began in', async () => {
    system.inside(`
      atomic host try -- sh -c 'echo mine > /etc/conf; atomic host kargs --append=tried; ostree admin finalize-staged'`);
    const [tried, before] = system.sysroot.load().deployments;
    assert.deepEqual(tried?.kargs, ['quiet', 'tried']);
    system.booted = tried;
    const out = system.inside(`
      cat /etc/conf
      atomic host try --revert
      cat /run/systemctl.log`);
    assert.match(out, /^mine$/m);
    assert.match(out, /^reboot$/m);
    const after = system.sysroot.load().deployments;
    assert.equal(after[0]?.path, before?.path, 'the old one boots next');
    system.booted = after[0];
    assert.equal(etc('conf'), 'default 1', 'with the old /etc');
  });
});
