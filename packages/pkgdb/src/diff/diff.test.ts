import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { comparePackages, debPackage, type InstalledPackage, nevraOf } from '../package.ts';
import { packageListMetadata, parsePackageList } from '../package-list.ts';
import { pkgDiffJson, rpmDiffJson } from './diff-json.ts';
import { diffPackages, isEmptyDiff } from './diff-packages.ts';
import { blockLines, diffSummary, scriptLines } from './diff-text.ts';

const deb = (name: string, version: string, arch = 'amd64') => debPackage(name, version, arch);
const rpm = (name: string, version: string, release: string, arch = 'x86_64'): InstalledPackage => ({
  format: 'rpm',
  name,
  epoch: '0',
  version,
  release,
  arch,
  source: name,
});

const before = [deb('b', '1.0-1'), deb('a', '2.0~rc1-1'), deb('c', '1:3-1'), deb('gone', '1'), deb('same', '5', 'all')];
const after = [deb('a', '2.0-1'), deb('b', '1.0-1+b1'), deb('c', '4-1'), deb('same', '5', 'all'), deb('new', '0.1')];

test('what a diff says, as block and for scripts', () => {
  const diff = diffPackages(before, after);
  assert.deepEqual(blockLines(rpmDiffJson(diff)), [
    'Upgraded:',
    '  a 2.0~rc1-1 -> 2.0-1',
    '  b 1.0-1 -> 1.0-1+b1',
    'Downgraded:',
    '  c 1:3-1 -> 4-1',
    'Removed:',
    '  gone-1.amd64',
    'Added:',
    '  new-0.1.amd64',
  ]);
  assert.deepEqual(scriptLines(diff), [
    '!a-2.0~rc1-1.amd64',
    '=a-2.0-1.amd64',
    '!b-1.0-1.amd64',
    '=b-1.0-1+b1.amd64',
    '!c-1:3-1.amd64',
    '=c-4-1.amd64',
    '-gone-1.amd64',
    '+new-0.1.amd64',
  ]);
  assert.equal(diffSummary(diff), '2 upgraded, 1 downgraded, 1 removed, 1 added');
});

test('what a diff is in JSON', () => {
  const diff = diffPackages(before.slice(1, 4), after.slice(0, 1));
  assert.deepEqual(pkgDiffJson(diff), [
    ['c', 1, { PreviousPackage: ['c', '1:3-1', 'amd64'] }],
    ['gone', 1, { PreviousPackage: ['gone', '1', 'amd64'] }],
    ['a', 2, { PreviousPackage: ['a', '2.0~rc1-1', 'amd64'], NewPackage: ['a', '2.0-1', 'amd64'] }],
  ]);
  assert.deepEqual(rpmDiffJson(diff), {
    upgraded: [[0, 'a', ['2.0~rc1-1', 'amd64'], ['2.0-1', 'amd64']]],
    downgraded: [],
    removed: [
      [0, 'c', '1:3-1', 'amd64'],
      [0, 'gone', '1', 'amd64'],
    ],
    added: [],
  });
});

test('architectures: one that changed, several beside each other', () => {
  const changed = diffPackages([deb('a', '1', 'amd64')], [deb('a', '2', 'all')]);
  assert.deepEqual(blockLines(rpmDiffJson(changed)), ['Upgraded:', '  a 1 -> 2']);
  const multi = diffPackages(
    [deb('lib', '1', 'amd64'), deb('lib', '1', 'i386')],
    [deb('lib', '2', 'amd64'), deb('lib', '2', 'arm64')],
  );
  assert.deepEqual(blockLines(rpmDiffJson(multi)), [
    'Upgraded:',
    '  lib 1 -> 2',
    'Removed:',
    '  lib-1.i386',
    'Added:',
    '  lib-2.arm64',
  ]);
});

test('kernels: several versions of one name', () => {
  const kernels = (...releases: string[]) => releases.map((release) => rpm('kernel', '6.1', release));
  assert.deepEqual(blockLines(rpmDiffJson(diffPackages(kernels('1', '2'), kernels('2')))), [
    'Removed:',
    '  kernel-6.1-1.x86_64',
  ]);
  assert.deepEqual(blockLines(rpmDiffJson(diffPackages(kernels('1', '2'), kernels('2', '10')))), [
    'Upgraded:',
    '  kernel 6.1-1 -> 6.1-10',
  ]);
});

test('a tree of another family has nothing in common', () => {
  const diff = diffPackages([deb('bash', '5.2-1')], [rpm('bash', '5.2', '1')]);
  assert.deepEqual(blockLines(rpmDiffJson(diff)), ['Removed:', '  bash-5.2-1.amd64', 'Added:', '  bash-5.2-1.x86_64']);
});

const arbitrary = fc.array(
  fc.tuple(
    fc.constantFrom('a', 'b', 'c', 'd'),
    fc.constantFrom('1', '2', '1.0', '10'),
    fc.constantFrom('amd64', 'all'),
  ),
  { maxLength: 8 },
);
const packagesOf = (list: [string, string, string][]) => {
  const unique = new Map(list.map((item) => [item.join(' '), deb(...item)]));
  return [...unique.values()];
};

test('before, less what went and was replaced, with what came and replaced, is after', () => {
  fc.assert(
    fc.property(arbitrary, arbitrary, (one, two) => {
      const [a, b] = [packagesOf(one), packagesOf(two)];
      const diff = diffPackages(a, b);
      const modified = [...diff.upgraded, ...diff.downgraded];
      const left = new Set([...diff.removed, ...modified.map((m) => m.before)]);
      const result = [...a.filter((p) => !left.has(p)), ...diff.added, ...modified.map((m) => m.after)];
      assert.deepEqual(result.map(nevraOf).sort(), b.map(nevraOf).sort());
      assert.equal(isEmptyDiff(diff), a.map(nevraOf).sort().join() === b.map(nevraOf).sort().join());
    }),
  );
});

test('the list in metadata is what was put in, and rpm-ostree reads it', () => {
  for (const packages of [before, [rpm('x', '1', '2.fc40'), { ...rpm('y', '1', '2'), epoch: '3' }]]) {
    const metadata = packageListMetadata(packages);
    assert.deepEqual(parsePackageList(metadata), [...packages].sort(comparePackages));
    assert.equal(metadata.get('rpmostree.rpmdb.pkglist')?.type, 'a(sssss)');
  }
  const metadata = packageListMetadata([{ ...rpm('y', '1', '2'), epoch: '3' }]);
  assert.deepEqual(metadata.get('rpmostree.rpmdb.pkglist')?.value, [['y', '3', '1', '2', 'x86_64']]);
  assert.equal(parsePackageList(new Map()), null);
  assert.equal(parsePackageList(new Map([['rpmostree.rpmdb.pkglist', { type: 's', value: 'x' }]])), null);
});
