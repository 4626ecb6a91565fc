import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from './spec.ts';

test('a configuration is UTF-8 or none', () => {
  const text = (author: string) =>
    `{"architecture":"amd64","os":"linux","author":"${author}","rootfs":{"type":"layers","diff_ids":[]}}`;
  assert.equal(parseConfig(Buffer.from(text('Zoë'))).os, 'linux');
  const latin = Buffer.from(text('Zoë'), 'latin1');
  assert.throws(() => parseConfig(latin), { code: 'corrupt', message: /configuration is not JSON/ });
  assert.throws(() => parseConfig(Buffer.from(`\ufeff${text('Zoë')}`)), { code: 'corrupt' });
});
