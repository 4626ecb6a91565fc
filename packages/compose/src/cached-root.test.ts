import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { cachedRoot } from './cached-root.ts';
import type { PackageManager } from './packages/manager.ts';

describe('roots of the cache', () => {
  const cachedir = mkdtempSync(join(tmpdir(), 'atomic-roots-'));
  after(() => rmSync(cachedir, { recursive: true }));
  let installed = 0;
  const manager: PackageManager = {
    name: 'fake',
    needs: { runtime: [], initramfs: [] },
    refresh: () => Promise.resolve({ id: '1' }),
    resolve: () => Promise.resolve([]),
    install: (directory) => {
      mkdirSync(directory);
      writeFileSync(join(directory, 'count'), `${++installed}`);
      return Promise.resolve();
    },
    download: () => Promise.resolve(),
    digests: () => Promise.resolve(new Map()),
    repositories: () => [],
    files: () => [],
    settle: () => {},
    list: () => [],
  };
  const request = { packages: ['tool'], exclude: [], recommends: false, documentation: true };
  const root = async (version: string, anew = false): Promise<string> => {
    const packages = [{ name: 'tool', version, architecture: 'all' }];
    return await cachedRoot(manager, { request, packages }, 'repositories', cachedir, { anew });
  };
  const count = (path: string): string => readFileSync(join(path, 'count'), 'utf8');

  test('one for each set of packages, in the same state of the repositories too', async () => {
    const first = await root('1');
    assert.equal(await root('1'), first);
    assert.equal(count(first), '1');
    const second = await root('2');
    assert.notEqual(second, first);
    assert.equal(count(second), '2');
    assert.equal(count(await root('1')), '1');
  });
  test('made anew it takes the place of the one that is there', async () => {
    const before = await root('1');
    const known = readdirSync(join(cachedir, 'roots/fake')).length;
    const made = count(await root('1', true));
    assert.notEqual(made, '1');
    assert.equal(count(await root('1')), made, 'the next compose takes it');
    assert.equal(readdirSync(join(cachedir, 'roots/fake')).length, known);
    assert.ok(existsSync(before));
  });
});
