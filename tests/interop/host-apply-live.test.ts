import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { BootedSystem, skip } from './booted-system.ts';

/** `atomic host apply-live` and `usroverlay` on a running system. */
const scratch = mkdtempSync(join(tmpdir(), 'atomic-live-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let system: BootedSystem;
beforeEach(async () => {
  if (!skip) system = await BootedSystem.make(mkdtempSync(join(scratch, 'system-')));
});

describe('atomic host apply-live', { skip }, () => {
  test('what only adds is applied; /etc follows where it was not changed; --reset takes it back', async () => {
    const same = { 'usr/share-version': '1', 'usr/etc/conf': 'default 1' };
    const rev = await system.commit('3', {
      ...same,
      'usr/bin/new': 'new',
      'usr/lib/systemd/system/new.service': '[Service]\n',
      'usr/etc/new.d/file': 'new default',
    });
    const out = system.inside(`
      atomic host apply-live 2>&1 || echo none
      atomic host upgrade --stage
      (exec 3</usr/share-version; sleep 1000) &
      atomic host apply-live
      cat /usr/bin/new /etc/new.d/file; echo
      touch /usr/x 2>&1 || echo read-only
      cat /run/systemctl.log
      ls /run/ostree/deployment-state/*
      atomic host status
      ostree rev-parse rpmostree/live-apply
      atomic host apply-live --json
      atomic host cleanup >/dev/null
      cat /usr/bin/new; echo
      echo mine > /etc/new.d/file
      atomic host apply-live --reset
      ls /usr/bin/new 2>&1 || echo gone
      cat /etc/new.d/file
      ostree rev-parse rpmostree/live-apply 2>&1 || echo no ref
      ostree admin status | grep -c Unlocked || echo locked
      touch /usr/x 2>&1 || echo booted
      kill %1 || true`);
    assert.match(out, /no pending deployment/);
    assert.match(out, /^\/usr: [1-9]\d* added, \d+ changed, 0 removed$/m);
    assert.match(out, /^\/etc: 2 added, 0 changed, 0 removed$/m);
    assert.match(out, /^newnew default$/m);
    assert.match(out, /^read-only$/m);
    assert.match(out, new RegExp(`BootedCommit: [0-9a-f]{64}\n +LiveCommit: ${rev}`));
    assert.match(out, /^systemd-tmpfiles --create --prefix=\/run --prefix=\/var$/m);
    assert.match(out, /^daemon-reload$/m);
    assert.match(out, /^ {2}new\.service$/m);
    assert.match(out, /rpmostree-is-live\.stamp/);
    assert.match(out, new RegExp(`^${rev}$`, 'm'));
    assert.match(out, /^new$/m, 'a cleanup leaves what is shown');
    assert.match(out, /kept, for it was changed here: \/etc\/new\.d/);
    assert.match(out, /^gone$/m);
    assert.match(out, /^mine$/m);
    assert.match(out, /^no ref$/m);
    assert.match(out, /^locked$/m);
  });

  test('a package with an account and something in /var is an addition; the account is made first', async () => {
    const lists = (text: string) => ({
      'usr/lib/sysusers.d/00-atomic-tree.conf': `# accounts\n${text}`,
      'usr/lib/tmpfiles.d/zz-atomic-layer.conf': `# /var\n${text}`,
    });
    system = await BootedSystem.make(mkdtempSync(join(scratch, 'system-')), lists(''));
    await system.commit('3', { 'usr/share-version': '1', 'usr/etc/conf': 'default 1', ...lists('more\n') });
    const out = system.inside(`
      atomic host upgrade --stage
      atomic host apply-live
      cat /run/systemctl.log`);
    assert.match(out, /^\/usr: \d+ added, [2-9] changed, 0 removed$/m);
    assert.match(out, /^systemd-sysusers ?\nsystemd-tmpfiles --create /m);
  });

  test('replacing is refused unless allowed; what is staged then has no stale defaults in its /etc', async () => {
    await system.commit('3', { 'usr/etc/other': 'default 3' });
    const out = system.inside(`
      atomic host upgrade --stage
      echo mine > /etc/mine
      atomic host apply-live 2>&1 || echo refused
      cat /usr/share-version; echo
      atomic host apply-live --allow-replacement
      cat /usr/share-version /etc/conf /etc/other; echo
      atomic host apply-live --allow-replacement --target=os
      atomic host usroverlay 2>&1 || echo unlocked
      ostree admin finalize-staged`);
    assert.match(out, /files would be changed: 1 \(\/usr\/share-version\)/);
    assert.match(out, /reboot into it, or: atomic host apply-live --allow-replacement/);
    assert.match(out, /^1$/m);
    assert.match(out, /^3default 3default 3$/m);
    const [next] = system.sysroot.load().deployments;
    assert.equal(next?.version, '3');
    assert.equal(readFileSync(`${system.tree(next)}/etc/conf`, 'utf8'), 'default 3');
    assert.equal(readFileSync(`${system.tree(next)}/etc/mine`, 'utf8'), 'mine\n');
    const diff = system.inside('ostree admin config-diff');
    assert.match(diff, /A {4}mine/);
  });

  test('cut off in the middle, it is completed with the same target, and no other', async () => {
    const rev = await system.commit('3', { 'usr/bin/new': 'new' });
    const out = system.inside(`
      atomic host upgrade --stage
      mkdir -p /run/ostree/deployment-state/$(cd /sysroot/ostree/deploy/os/deploy; ls -d *.0 | head -1)
      id=$(ostree admin status | sed -n 's/^\\* os //p')
      mkdir -p /run/ostree/deployment-state/$id
      touch /run/ostree/deployment-state/$id/rpmostree-is-live.stamp
      ostree refs --create=rpmostree/live-apply-inprogress ${rev}
      atomic host apply-live --reset 2>&1 || echo refused
      atomic host apply-live --allow-replacement --target=${rev}
      cat /usr/bin/new; echo
      ostree rev-parse rpmostree/live-apply`);
    assert.match(out, /Previously interrupted while targeting commit/);
    assert.match(out, /^new$/m);
    assert.match(out, new RegExp(`^${rev}$`, 'm'));
  });

  test('a /usr that was made writable is not hidden', () => {
    const out = system.inside(`
      atomic host usroverlay
      echo x > /usr/mine
      atomic host upgrade --stage
      atomic host apply-live --allow-replacement 2>&1 || echo refused
      cat /usr/mine`);
    assert.match(out, /^Development mode enabled\./);
    assert.match(out, /incompatible with unlock state: development/);
    assert.match(out, /^x$/m);
  });
});
