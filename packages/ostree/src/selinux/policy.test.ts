import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openPolicy, parseSelinuxConfig } from './policy.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-policy-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function root(name: string, config: string, contexts: string): string {
  const folder = join(scratch, name, 'usr/etc/selinux');
  mkdirSync(join(folder, 'tiny/contexts/files'), { recursive: true });
  writeFileSync(join(folder, 'config'), config);
  writeFileSync(join(folder, 'tiny/contexts/files/file_contexts'), contexts);
  return join(scratch, name);
}

const CONTEXTS = `
/.*                 system_u:object_r:default_t:s0
/usr(/.*)?          system_u:object_r:usr_t:s0
/usr/bin(/.*)?  --  system_u:object_r:bin_t:s0
/mnt            -d  system_u:object_r:mnt_t:s0
/nothing            <<none>>
`;

test('labels by path and kind, as libselinux finds them', () => {
  using policy = openPolicy(root('on', 'SELINUX=permissive\nSELINUXTYPE=tiny \n', CONTEXTS));
  assert.ok(policy !== null);
  assert.equal(policy.name, 'tiny');
  assert.equal(policy.label('/usr/bin/env', 0o100755), 'system_u:object_r:bin_t:s0');
  assert.equal(policy.label('/usr/bin', 0o040755), 'system_u:object_r:usr_t:s0');
  assert.equal(policy.label('/elsewhere', 0o120777), 'system_u:object_r:default_t:s0');
  assert.equal(policy.label('/proc', 0o040755), 'system_u:object_r:mnt_t:s0');
  assert.equal(policy.label('/nothing', 0o100644), null);
});

test('no policy: none there, switched off, no type', () => {
  assert.equal(openPolicy(scratch), null);
  assert.equal(openPolicy(root('off', 'SELINUX=disabled\nSELINUXTYPE=tiny\n', CONTEXTS)), null);
  assert.deepEqual(parseSelinuxConfig('# SELINUX=enforcing\nSELINUX=Enforcing\n'), { enabled: true, type: null });
});

test('what is no policy is refused', () => {
  assert.throws(() => openPolicy(root('escape', 'SELINUX=enforcing\nSELINUXTYPE=../..\n', '')), /no name of a policy/);
  assert.throws(() => openPolicy(root('missing', 'SELINUX=enforcing\nSELINUXTYPE=other\n', '')), /SELinux policy/);
});
