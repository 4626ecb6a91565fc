import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { keyFile, placeKeys } from './apt-keys.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-apt-keys-'));
after(() => rmSync(folder, { recursive: true }));

test('a tree has the keys of its sources, and names no file of the cache', () => {
  const cache = join(folder, 'cache');
  const root = join(folder, 'root');
  mkdirSync(join(root, 'etc/apt'), { recursive: true });
  const [one, two] = [keyFile('key one', cache), keyFile('key two', cache)];
  const sources = (a: string, b: string): string =>
    `deb [signed-by=${a}] http://one stable main\ndeb [signed-by=${b},${a}] http://two stable main\ndeb http://three x y\n`;
  writeFileSync(join(root, 'etc/apt/sources.list'), sources(one, two));
  placeKeys(root, cache);
  const placed = (path: string): string => `/etc/apt/keyrings/${basename(path)}`;
  assert.equal(readFileSync(join(root, 'etc/apt/sources.list'), 'utf8'), sources(placed(one), placed(two)));
  assert.equal(readFileSync(join(root, placed(one)), 'utf8'), 'key one');
  assert.equal(readFileSync(join(root, placed(two)), 'utf8'), 'key two');
});
