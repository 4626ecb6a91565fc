import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseFullName } from '../full-name.ts';
import { checkPush, requirePush } from './check-push.ts';
import { loadPushPolicies, type PushPolicy } from './push-policy.ts';

const plain = { names: [], labels: {} };
const secret = { names: [parseFullName('registry.corp.example/app:1')], labels: {} };
const corp: PushPolicy = {
  file: 'system',
  push: { 'docker.io/corp': 'allow', 'docker.io/corp/secret': 'deny', '*.corp.example': 'allow', 'ghcr.io': 'deny' },
  private: ['*.corp.example'],
};

test('what is built in: public places are asked about, private images stay', () => {
  const scope = (value: string) => ({ names: [], labels: { 'distribution-scope': value } });
  const table: [string, Parameters<typeof checkPush>[1], string][] = [
    ['docker.io/me/app', plain, 'ask'],
    ['quay.io/me/app:1', plain, 'ask'],
    ['registry.example:5000/app', plain, 'allow'],
    ['docker.io/me/app', scope('public'), 'allow'],
    ['docker.io/me/app', scope('private'), 'deny'],
    ['docker.io/me/app', scope('restricted'), 'deny'],
    ['registry.example/app', scope('private'), 'allow'],
    ['registry.example/app', scope('authoritative-source-only'), 'ask'],
  ];
  for (const [target, image, action] of table) {
    assert.equal(checkPush(parseFullName(target), image, []).action, action, target);
  }
});

test('the most specific rule of a file counts, the stricter of two files', () => {
  const mine: PushPolicy = { file: 'mine', push: { 'docker.io/corp': 'ask', 'ghcr.io': 'allow' } };
  const of = (target: string, policies: PushPolicy[], image = plain) =>
    checkPush(parseFullName(target), image, policies).action;
  assert.equal(of('docker.io/corp/app', [corp]), 'allow');
  assert.equal(of('docker.io/corp/secret', [corp]), 'deny');
  assert.equal(of('docker.io/corp/app', [corp, mine]), 'ask');
  assert.equal(of('ghcr.io/corp/app', [corp, mine]), 'deny');
  assert.equal(of('a.corp.example/app', [corp]), 'allow');
  assert.equal(checkPush(parseFullName('docker.io/me/app'), secret, [corp]).action, 'deny');
  assert.equal(checkPush(parseFullName('docker.io/corp/app'), secret, [corp]).action, 'allow');
  assert.equal(of('registry.example/app', [{ file: 'x', default: 'deny' }]), 'deny');
  assert.equal(of('docker.io/app', [{ file: 'x', public: [] }]), 'allow');
});

test('asking: yes, no, nobody there; what is denied is not asked', async () => {
  const target = parseFullName('docker.io/me/app:1');
  const ask = checkPush(target, plain, []);
  await requirePush(target, ask, { yes: true });
  await requirePush(target, ask, { ask: () => Promise.resolve(true) });
  await assert.rejects(requirePush(target, ask, { ask: () => Promise.resolve(false) }), { outcome: 'refused' });
  await assert.rejects(requirePush(target, ask, {}), { outcome: 'refused' });
  await assert.rejects(requirePush(target, checkPush(target, secret, [corp]), { yes: true }), { outcome: 'policy' });
});

test('a file that is not understood lets nothing out', () => {
  const folder = mkdtempSync(join(tmpdir(), 'atomic-push-'));
  try {
    const file = join(folder, 'push-policy.yaml');
    assert.deepEqual(loadPushPolicies([file]), []);
    writeFileSync(file, 'push:\n  docker.io: perhaps\n');
    assert.throws(() => loadPushPolicies([file]), /push → docker\.io/);
    writeFileSync(file, 'pushes: {}\n');
    assert.throws(() => loadPushPolicies([file]), { code: 'invalid' });
    writeFileSync(file, 'default: ask\n');
    assert.deepEqual(loadPushPolicies([file]), [{ default: 'ask', file }]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
