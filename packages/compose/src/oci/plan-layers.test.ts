import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Component } from './components.ts';
import { layerName, planLayers } from './plan-layers.ts';

const component = (name: string, size: number): Component => ({
  name,
  size,
  content: new Map([[name.padEnd(64, '0'), [`/usr/${name}`]]]),
});
const many = (count: number, from = 0): Component[] =>
  Array.from({ length: count }, (_, i) => component(`package-${i + from}`, (i % 10) * (1 << 19)));
const cut = (components: Component[], max: number, previous?: string[][]): string[][] =>
  planLayers(components, max, previous).map((layer) => layer.components);

test('every component is in one layer, and there are no more layers than asked for', () => {
  for (const max of [1, 2, 3, 4, 10, 63, 200]) {
    const layers = cut(many(300), max);
    assert.ok(layers.length <= max, `${layers.length} of ${max}`);
    assert.deepEqual(
      layers.flat().sort(),
      many(300)
        .map(({ name }) => name)
        .sort(),
    );
  }
});

test('a small component more changes one layer', () => {
  const [before, after] = [cut(many(300), 63), cut([...many(300), component('another', 10)], 63)];
  const same = new Set(before.map((names) => names.join()));
  assert.deepEqual(after.filter((names) => !same.has(names.join())).length, 1);
});

test('an earlier cut is kept: what is gone leaves its layer, what is new joins one', () => {
  const previous = [['b', 'gone'], ['a'], ['all-gone']];
  const layers = cut([component('a', 1), component('b', 1 << 30), component('new', 1)], 10, previous);
  assert.ok(layers.some((names) => names.includes('b') && !names.includes('a')));
  assert.deepEqual(layers.flat().sort(), ['a', 'b', 'new']);
});

test('a layer is called by its components, or by how many they are', () => {
  const named = (...components: string[]) => layerName({ components, content: new Map() });
  assert.equal(named('bash'), 'bash');
  assert.equal(named('a', 'b'), 'a and b');
  assert.equal(named(...'abcdef'), '6 components');
});
