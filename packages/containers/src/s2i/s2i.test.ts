import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { isAllowedUser, prepareBuild, type S2iOptions } from './build.ts';
import type { BuildEngine } from './engine.ts';
import { readIgnore } from './ignore.ts';
import { openSources } from './source.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-s2i-test-'));
after(() => rmSync(scratch, { recursive: true }));

const engine = (labels: Record<string, string> = {}, user = '1001'): BuildEngine => ({
  kind: 'docker',
  inspect: async (name) => ({ name, labels, env: [], user, onBuild: [] }),
  pull: async () => {},
  build: async () => {},
  run: async () => '',
});
const LABELS = { 'io.openshift.s2i.scripts-url': 'image:///usr/libexec/s2i' };

test('ignored: the last pattern that fits, folders with all in them', () => {
  const ignored = readIgnore('# notes\n*.log\ntmp/\n!keep.log\ndocs/*.md\n');
  assert.deepEqual(['a.log', 'keep.log', 'tmp/x/y', 'docs/a.md', 'docs/a.txt', 'src/a'].map(ignored), [
    true,
    false,
    true,
    true,
    false,
    false,
  ]);
});

test('users that may', () => {
  assert.deepEqual(
    [
      ['1001', '1-'],
      ['0', '1-'],
      ['root', '0-'],
      ['', '0-'],
      ['5', '1-4,5'],
      ['1001:0', '1000-2000'],
    ].map(([user = '', ranges = '']) => isAllowedUser(user, ranges)),
    [true, false, false, false, true, true],
  );
  assert.throws(() => isAllowedUser('1', 'x'), /no range/);
});

test('sources that are refused', async () => {
  await assert.rejects(openSources('/nonexistent'), /not there/);
  await assert.rejects(openSources('ext::sh -c true'), /not there/);
  await assert.rejects(openSources('.', { contextDir: '../..' }), /leads out/);
  await assert.rejects(openSources('file:///nonexistent', { ref: '--upload-pack=x' }), /no branch/);
});

test('builders that are refused, values that stay values', async () => {
  const folder = join(scratch, 'src');
  mkdirSync(join(folder, '.s2i'), { recursive: true });
  writeFileSync(join(folder, 'a'), 'a');
  symlinkSync('/etc/passwd', join(folder, 'link'));
  const prepare = async (using: BuildEngine, options: S2iOptions = {}): Promise<string> => {
    using source = await openSources(folder);
    const out = mkdtempSync(join(scratch, 'out-'));
    await prepareBuild({ source, builder: 'localhost/b', folder: out }, using, options);
    assert.ok(existsSync(join(out, 'upload/src/a')));
    return readFileSync(join(out, 'Dockerfile'), 'utf8');
  };
  const text = await prepare(engine(LABELS), { env: [['EVIL', 'x"\nRUN rm -rf / $HOME']] });
  assert.match(text, /^ENV EVIL="x\\" RUN rm -rf \/ \\\$HOME"$/m);
  assert.equal(text.match(/^RUN/gm)?.length, 2);
  for (const [using, options, why] of [
    [engine(), {}, /is no builder/],
    [engine({ 'io.openshift.s2i.scripts-url': 'image:///x; rm -rf /' }), {}, /no plain absolute path/],
    [engine({ 'io.openshift.s2i.scripts-url': 'https://host/x' }), {}, /has its scripts at/],
    [engine({ ...LABELS, 'io.openshift.s2i.destination': '/tmp\nRUN x' }), {}, /no plain absolute path/],
    [engine(LABELS, 'a b'), {}, /is no user/],
    [engine(LABELS, 'root'), { allowedUids: '1-' }, /runs as root/],
    [engine(LABELS), { scriptsUrl: 'ftp://x' }, /must be image/],
  ] as [BuildEngine, S2iOptions, RegExp][]) {
    await assert.rejects(prepare(using, options), why);
  }
});

test('links in sources lead to no file of this machine', async () => {
  const secret = join(scratch, 'secret');
  mkdirSync(secret);
  writeFileSync(join(secret, 'key'), 'TOP=secret\n', { mode: 0o600 });
  const cases: [made: string, target: string, contextDir?: string][] = [
    ['.s2i/bin/assemble', join(secret, 'key')],
    ['.s2i/bin', secret],
    ['.s2i', secret],
    ['.s2i/environment', join(secret, 'key')],
    ['.s2iignore', join(secret, 'key')],
    ['web', secret, 'web'],
    ['web', secret, 'web/..'],
  ];
  for (const [index, [made, target, contextDir]] of cases.entries()) {
    const folder = join(scratch, `hostile-${index}`);
    const out = join(scratch, `hostile-${index}-out`);
    mkdirSync(dirname(join(folder, made)), { recursive: true });
    symlinkSync(target, join(folder, made));
    const prepare = async (): Promise<void> => {
      using source = await openSources(folder, { contextDir });
      await prepareBuild({ source, builder: 'localhost/b', folder: out }, engine(LABELS));
    };
    if (contextDir === 'web/..') await prepare();
    else await assert.rejects(prepare(), /is no (file|folder)|is, or is behind, a link/, made);
    assert.ok(!existsSync(join(out, 'upload/scripts')), made);
    assert.equal(statSync(join(secret, 'key')).mode & 0o777, 0o600, made);
  }
});
