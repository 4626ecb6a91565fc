import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Consents, requireConsent } from './consents.ts';
import type { Risk } from './risk.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-consent-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const root: Risk = { id: 'mount:/', weight: 'grave', text: 'reads all' };
const privileged: Risk = { id: 'privileged', weight: 'grave', text: 'is not confined' };
const restart: Risk = { id: 'restart', weight: 'note', text: 'starts again' };

test('what was agreed to is remembered for that image and those risks only', async () => {
  const consents = new Consents(join(folder, 'state/consents.json'));
  const asked: string[] = [];
  const request = (digest: string, risks: Risk[], answer: boolean) => ({
    what: 'atomic run x',
    image: 'x',
    digest,
    risks,
    yes: false,
    consents,
    ask: async (text: string) => {
      asked.push(text);
      return answer;
    },
  });
  await requireConsent(request('sha256:1', [restart], false));
  assert.equal(asked.length, 0);
  await assert.rejects(requireConsent(request('sha256:1', [root], false)), { outcome: 'refused' });
  assert.equal(asked.length, 1);
  assert.match(asked[0] ?? '', /! reads all/);
  await requireConsent(request('sha256:1', [root, restart], true));
  await requireConsent(request('sha256:1', [root], false));
  assert.equal(asked.length, 2);
  await assert.rejects(requireConsent(request('sha256:2', [root], false)), { outcome: 'refused' });
  await assert.rejects(requireConsent(request('sha256:1', [root, privileged], false)), { outcome: 'refused' });
  await requireConsent(request('sha256:1', [privileged], true));
  await requireConsent(request('sha256:1', [root, privileged], false));
  assert.equal(consents.forget('x'), true);
  await assert.rejects(requireConsent({ ...request('sha256:1', [root], true), ask: undefined }), {
    outcome: 'refused',
    hint: /--yes/,
  });
  await requireConsent({ ...request('sha256:1', [root], false), yes: true });
  assert.deepEqual(consents.list(), []);
});

test('a malformed record is no consent', () => {
  const path = join(folder, 'bad.json');
  writeFileSync(path, '{"version":1,"consents":[{}]}');
  assert.throws(() => new Consents(path).covers('sha256:1', [root]), /malformed/);
});
