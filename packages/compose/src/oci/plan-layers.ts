import { createHash } from 'node:crypto';
import type { Checksum } from '@atomic/ostree';
import type { Component } from './components.ts';

/** One layer of content. */
export interface PlannedLayer {
  /** Its components' names, in order. */
  components: string[];
  content: Map<Checksum, string[]>;
}

/** A component this large gets a layer of its own while there are enough. */
const LARGE = 1 << 20;

/**
 * Which components share a layer, in at most `max` layers. Large ones have their own; a small one's place follows from
 * its name alone, so that a package more or less changes one layer and not how all are cut. `previous`: the components
 * of another image's layers, which stay together, in that order, whatever their sizes are now.
 */
export function planLayers(
  components: readonly Component[],
  max: number,
  previous: readonly (readonly string[])[] = [],
): PlannedLayer[] {
  const rest = new Map(components.map((component) => [component.name, component]));
  const groups: Component[][] = [];
  for (const names of previous.slice(0, max)) {
    const kept = names.flatMap((name) => rest.get(name) ?? []);
    for (const { name } of kept) rest.delete(name);
    groups.push(kept);
  }
  if (previous.length > 0 && groups.length > 0) {
    for (const component of rest.values()) groups[bin(component.name, groups.length)]?.push(component);
  } else {
    const shared = Math.min(16, Math.max(1, Math.floor(max / 4)));
    const large = components.filter(({ size }) => size >= LARGE).slice(0, max - shared);
    for (const component of large) {
      groups.push([component]);
      rest.delete(component.name);
    }
    const bins: Component[][] = Array.from({ length: shared }, () => []);
    for (const component of rest.values()) bins[bin(component.name, shared)]?.push(component);
    groups.push(...bins);
  }
  return groups
    .filter((group) => group.length > 0)
    .map((group) => ({
      components: group.map(({ name }) => name).sort(),
      content: new Map(group.flatMap(({ content }) => [...content])),
    }));
}

const bin = (name: string, count: number): number => createHash('sha256').update(name).digest().readUInt32BE(0) % count;

/** What a layer is called in the image's history. */
export function layerName({ components }: PlannedLayer): string {
  return components.length > 5 ? `${components.length} components` : components.join(' and ');
}
