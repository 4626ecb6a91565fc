import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerRequests, PackageChange } from '@atomic/sysroot';
import { overridesOf } from './layer-state.ts';

const NONE: LayerRequests = {
  install: [],
  local: [],
  localFileOverride: [],
  remove: [],
  replace: [],
  replaceFrom: [],
};
const change = (name: string, arch: string, from: string | null, to: string | null): PackageChange => ({
  name,
  arch,
  from,
  to,
});

test('what is overridden: another version, another architecture, gone; what is only added is not', () => {
  const { removed, replaced } = overridesOf(NONE, {
    inactive: [],
    changes: [
      change('less', 'amd64', '590-2', '591-1'),
      change('tool', 'x86_64', '1-1', null),
      change('tool', 'noarch', null, '2-1'),
      change('gone', 'amd64', '1', null),
      change('new', 'amd64', null, '1'),
      // Two of a name went: which of them the new one stands for is not known.
      change('lib', 'amd64', '1', null),
      change('lib', 'i386', '1', null),
      change('lib', 'all', null, '2'),
    ],
  });
  const text = ({ name, arch, version }: { name: string; arch: string; version: string }) =>
    `${name}.${arch} ${version}`;
  assert.deepEqual(
    replaced.map(({ before, after }) => `${text(before)} -> ${text(after)}`),
    ['less.amd64 590-2 -> less.amd64 591-1', 'tool.x86_64 1-1 -> tool.noarch 2-1'],
  );
  assert.deepEqual(removed.map(text), ['gone.amd64 1', 'lib.amd64 1', 'lib.i386 1']);
});
