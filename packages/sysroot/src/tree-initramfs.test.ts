import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Metadata } from '@atomic/ostree';
import { layerMetadata } from './layers/metadata.ts';
import { dracutWords, readTreeInitramfs, treeInitramfsMetadata } from './tree-initramfs.ts';

const usual = { packages: [], modules: undefined, addModules: [], drivers: [], args: [] };
const special = {
  packages: ['cryptsetup'],
  modules: ['base', 'ostree'],
  addModules: ['crypt'],
  drivers: ['ixgbe'],
  args: ['--install', '/usr/bin/strace'],
};

test('how an initramfs was made is in the commit, and only what is not as usual', () => {
  assert.deepEqual(readTreeInitramfs(treeInitramfsMetadata(special)), special);
  assert.equal(treeInitramfsMetadata(usual).size, 0);
  assert.deepEqual(readTreeInitramfs(new Map()), usual);
  assert.deepEqual(dracutWords(usual), []);
  assert.deepEqual(dracutWords(special), [
    ...['--modules', 'base ostree', '--add', 'crypt', '--add-drivers', 'ixgbe'],
    ...special.args,
  ]);
});

test('rpm-ostree has its own name for the arguments, and others say nonsense', () => {
  assert.deepEqual(treeInitramfsMetadata(special).get('rpmostree.initramfs-args'), {
    type: 'as',
    value: special.args,
  });
  const odd: Metadata = new Map([['rpmostree.initramfs-args', { type: 's', value: '--x' }]]);
  assert.deepEqual(readTreeInitramfs(odd), usual);
});

test('what is layered on a tree goes on saying it', () => {
  const baseMetadata = treeInitramfsMetadata(special);
  const layered = layerMetadata({ baseMetadata, install: ['x'], removed: [], replaced: [], state: 'abc' });
  assert.deepEqual(readTreeInitramfs(layered), special);
});
