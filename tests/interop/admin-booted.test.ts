import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import type { Deployment, Sysroot } from '@atomic/sysroot';
import { BootedSystem, skip } from './booted-system.ts';

/** `ostree admin` on a running system, as far as a sandbox can be one. */
const scratch = mkdtempSync(join(tmpdir(), 'atomic-booted-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let system: BootedSystem;
let sysroot: Sysroot;
let booted: Deployment;

beforeEach(async () => {
  if (skip) return;
  system = await BootedSystem.make(mkdtempSync(join(scratch, 'system-')));
  assert.ok(system.booted);
  sysroot = system.sysroot;
  booted = system.booted;
});

const inside = (script: string, options: { readOnly?: boolean } = {}) => system.inside(script, options);
const etc = (deployment: Deployment) => `${system.tree(deployment)}/etc`;

describe('ostree admin on a running system', { skip }, () => {
  test('staged, locked, unlocked, and switched to at shutdown', () => {
    const out = inside(`
      ostree admin status -D
      ostree admin deploy --stage --karg-append=new os
      ostree admin status | grep -c '(staged)'
      ostree admin lock-finalization
      ostree admin lock-finalization
      ostree admin status | grep -c '(finalization locked)'
      ostree admin finalize-staged
      ostree admin lock-finalization --unlock
      ostree admin lock-finalization --unlock
      ostree admin kargs edit-in-place --append-if-missing=both
      echo mine > /etc/mine
      ostree admin finalize-staged
      ostree admin status | grep -c '(pending)'
      ostree admin status -D
      ostree admin boot-complete
      cat /run/systemctl.log`);
    assert.equal(
      out,
      `default
1
Staged deployment is now finalization locked
Staged deployment is already finalization locked
1
Staged deployment is now queued to apply on shutdown
Staged deployment is already prepared for finalization
Copying /etc changes: 0 modified, 0 removed, 1 added
Bootloader updated; bootconfig swap: yes; bootversion: boot.0.1, deployment count change: 1
1
not-default
start atomic-finalize-staged.service
`,
    );
    const [first, second] = sysroot.load().deployments;
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(first.version, '2');
    assert.deepEqual(first.kargs, ['quiet', 'new', 'both']);
    assert.deepEqual(second.kargs, ['quiet', 'both']);
    assert.equal(readFileSync(`${etc(first)}/mine`, 'utf8'), 'mine\n');
    assert.equal(readFileSync(`${etc(first)}/conf`, 'utf8'), 'default 2');
  });

  test('the booted deployment stays, and is called by its part', () => {
    const out = inside(`
      ostree admin upgrade
      ostree admin pin booted pending
      ostree admin pin rollback 2>&1 || echo refused
      ostree admin undeploy 1 2>&1 || echo refused
      ostree admin prepare-soft-reboot 1 2>&1 || echo refused
      ostree admin prepare-soft-reboot 0 2>&1 || echo refused
      ostree admin set-default 1
      ostree admin config-diff
      ostree admin upgrade --reboot
      ostree admin switch os 2>&1 || echo refused
      cat /run/systemctl.log`);
    for (const line of [
      'Deployment 1 is now pinned',
      'Deployment 0 is now pinned',
      'error: Deployment type not found: rollback',
      'error: Cannot undeploy currently booted deployment 1',
      'error: Cannot prepare for soft-reboot currently booted deployment 1',
      'error: soft reboot not supported',
      'error: Old and new refs are equal: os',
    ]) {
      assert.ok(out.includes(`${line}\n`), `${line}\n${out}`);
    }
    assert.match(out, /^reboot$/m);
    assert.equal(sysroot.load().deployments.filter(({ pinned }) => pinned).length, 2);
  });

  test('/usr is made writable: until the reboot, or for good with a way back', () => {
    const out = inside(`
      ostree admin unlock
      touch /usr/new
      ostree admin status | grep Unlocked
      ostree admin unlock 2>&1 || echo refused
      ostree admin unlock --hotfix --transient 2>&1 || echo refused`);
    assert.match(out, /^Development mode enabled\./);
    assert.match(out, /^ {4}Unlocked: development$/m);
    assert.match(out, /^error: Deployment is already in unlocked state: development$/m);
    assert.match(out, /^error: Cannot specify both --hotfix and --transient$/m);
    assert.ok(!readdirSync(`${sysroot.layout.deployment(booted)}/usr`).includes('new'));
    assert.equal(sysroot.load().deployments[0]?.unlocked, 'none', 'the next boot knows nothing of it');

    const transient = inside(`
      ostree admin unlock --transient
      touch /usr/new 2>&1 || echo read-only
      ostree admin status | grep Unlocked`);
    assert.match(transient, /^read-only$/m);
    assert.match(transient, /^ {4}Unlocked: transient$/m);

    const hotfix = inside(`
      ostree admin unlock --hotfix
      touch /usr/new
      ostree admin status | grep -c Unlocked`);
    assert.match(hotfix, /^1$/m);
    const [first, second] = sysroot.load().deployments;
    assert.equal(first?.unlocked, 'hotfix');
    assert.equal(second?.checksum, booted.checksum, 'the copy to go back to');
    assert.equal(second?.unlocked, 'none');
    assert.deepEqual(readdirSync(`${sysroot.layout.deployment(booted)}/.usr-ovl-upper`), ['new']);
  });

  test('a disk mounted read-only is writable for the command, and for it alone', () => {
    const out = inside(
      `
      touch /sysroot/no 2>&1 || echo read-only
      ostree admin pin 0
      ostree admin deploy --os=os os
      touch /sysroot/no 2>&1 || echo read-only
      ostree admin undeploy 7 || echo refused`,
      { readOnly: true },
    );
    assert.equal(out.match(/^read-only$/gm)?.length, 2, out);
    assert.match(out, /^Deployment 0 is now pinned$/m);
    assert.match(out, /^refused$/m);
    assert.equal(sysroot.load().deployments[0]?.version, '2');
  });

  test('a folder of the tree gets a writable layer that survives until the tree changes', () => {
    const out = inside(`
      ostree admin state-overlay usrbin /usr/bin
      echo state > /usr/bin/state
      ls /var/ostree/state-overlays/usrbin/upper
      ostree admin state-overlay ../x /usr/bin 2>&1 || echo refused`);
    assert.match(out, /^state$/m);
    assert.match(out, /not a name for a state overlay/);
  });
});
