import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editRequests } from './edit-requests.ts';
import type { Requests } from './requests.ts';

const having = (...install: string[]): Requests => ({
  ...{ install, local: [], localFileOverride: [], remove: [], replace: [], replaceFrom: [] },
});
const left = (before: Requests, ...uninstall: string[]): readonly string[] =>
  editRequests(before, { uninstall }).install;

test('a package is uninstalled by its name, whatever version or suite was asked for with it', () => {
  assert.deepEqual(left(having('htop=3.2.2-2', 'vim'), 'htop'), ['vim']);
  assert.deepEqual(left(having('htop/bookworm-backports', 'vim'), 'htop'), ['vim']);
  assert.deepEqual(left(having('htop=3.2.2-2', 'vim'), 'htop=3.2.2-2'), ['vim']);
  assert.deepEqual(left(having('/usr/bin/htop', 'vim'), '/usr/bin/htop'), ['vim']);
  for (const word of ['htop=1', 'hto', 'htop:i386', '']) {
    assert.throws(() => left(having('htop=3.2.2-2', '/usr/bin/htop'), word), /is not currently requested/, word);
  }
});
