import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { installRuntime, type Runtime } from './runtime.ts';

describe('the runtime of a tree', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'atomic-runtime-'));
  after(() => rmSync(scratch, { recursive: true }));
  const runtime = (...files: [path: string, text: string][]): Runtime => ({
    files: new Map(files.map(([path, text]) => [path, { content: Buffer.from(text), mode: 0o755 }])),
    digest: '',
  });
  const unit: [string, string] = ['usr/lib/systemd/system/a.service', '[Install]\nWantedBy=b.target\n'];

  test('units are enabled, the distribution’s ostree stays', () => {
    const root = mkdtempSync(join(scratch, 'root-'));
    mkdirSync(join(root, 'usr/bin'), { recursive: true });
    symlinkSync('/usr/libexec/ostree', join(root, 'usr/bin/ostree'));
    installRuntime(root, runtime(unit, ['usr/bin/ostree', 'ours'], ['usr/bin/atomic', 'ours']));
    assert.equal(readlinkSync(join(root, 'usr/lib/systemd/system/b.target.wants/a.service')), '../a.service');
    assert.equal(readlinkSync(join(root, 'usr/bin/ostree')), '/usr/libexec/ostree');
    assert.equal(readFileSync(join(root, 'usr/bin/atomic'), 'utf8'), 'ours');
    assert.equal(lstatSync(join(root, 'usr/bin/atomic')).mode & 0o777, 0o755);
  });
  test('folders that are links lead nowhere', () => {
    const host = mkdtempSync(join(scratch, 'host-'));
    for (const path of ['usr/lib/systemd', 'usr/lib/systemd/system/b.target.wants']) {
      const root = mkdtempSync(join(scratch, 'root-'));
      mkdirSync(join(root, path, '..'), { recursive: true });
      symlinkSync(host, join(root, path));
      assert.throws(() => installRuntime(root, runtime(unit)), /put a link at \/usr\/lib\/systemd/);
      assert.deepEqual(readdirSync(host), []);
    }
  });
  test('a link in place of a file gives way', () => {
    const root = mkdtempSync(join(scratch, 'root-'));
    mkdirSync(join(root, 'usr/bin'), { recursive: true });
    symlinkSync(join(scratch, 'victim'), join(root, 'usr/bin/atomic'));
    installRuntime(root, runtime(['usr/bin/atomic', 'ours']));
    assert.ok(!existsSync(join(scratch, 'victim')));
    assert.equal(readFileSync(join(root, 'usr/bin/atomic'), 'utf8'), 'ours');
  });
});
