import type { Json } from '@atomic/ostree';

/** A package in commit metadata: `(nevra, name, epoch, version, release, arch)`. */
interface Package {
  nevra: string;
  name: string;
  evr: string;
}

function packageOf(value: Json | undefined): Package | null {
  if (!Array.isArray(value)) return null;
  const [nevra, name, epoch, version, release] = value;
  if (typeof nevra !== 'string' || typeof name !== 'string') return null;
  if (typeof version !== 'string' || typeof release !== 'string') return null;
  const prefix = epoch === 0 || epoch === '0' || epoch === undefined ? '' : `${String(epoch)}:`;
  return { nevra, name, evr: `${prefix}${version}${release === '' ? '' : `-${release}`}` };
}

/** A replacement is `(new, old)`. */
function pairOf(value: Json): [after: Package, before: Package] | null {
  if (!Array.isArray(value)) return null;
  const [after, before] = [packageOf(value[0]), packageOf(value[1])];
  return after === null || before === null ? null : [after, before];
}

const items = (value: Json): Json[] => (Array.isArray(value) ? value : []);

/** Names that share a key, as `NAME NAME KEY`. */
function grouped(pairs: readonly (readonly [key: string, name: string])[]): string[] {
  const groups = new Map<string, string[]>();
  for (const [key, name] of pairs) groups.set(key, [...(groups.get(key) ?? []), name]);
  return [...groups].map(([key, names]) => `${names.join(' ')} ${key}`);
}

/** What a layered commit overrides of its base, in rpm-ostree's words. */
export interface Overrides {
  removed: string[];
  replaced: string[];
  /** By the source they come from. */
  remote: [source: string, packages: string[]][];
  removedNames: string[];
  replacedNames: string[];
}

/** Reads `base-removals`, `base-local-replacements` and `base-remote-replacements` of a deployment's status. */
export function overridesOf(removals: Json, local: Json, remote: Json): Overrides {
  const removed = items(removals).flatMap((item) => packageOf(item) ?? []);
  const replaced = items(local).flatMap((item) => {
    const pair = pairOf(item);
    return pair === null ? [] : [pair];
  });
  const sources = typeof remote === 'object' && remote !== null && !Array.isArray(remote) ? Object.entries(remote) : [];
  return {
    removed: grouped(removed.map(({ evr, name }) => [evr, name])),
    replaced: grouped(replaced.map(([after, before]) => [`${before.evr} -> ${after.evr}`, after.name])),
    remote: sources.map(([source, list]) => [
      source,
      items(list).flatMap((item) => {
        const pair = pairOf(item);
        return pair === null ? [] : [`${pair[0].name} ${pair[1].evr} -> ${pair[0].evr}`];
      }),
    ]),
    removedNames: removed.map(({ name }) => name),
    replacedNames: replaced.map(([after]) => after.name),
  };
}
