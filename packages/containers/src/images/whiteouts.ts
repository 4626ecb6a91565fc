import { corrupt } from '@atomic/ostree';

// OCI image specification, layer.md, "Whiteouts".
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** AUFS's own files, which old Docker left in layers. */
const AUFS = '.wh..wh.';

/** What a name in a layer means: that an entry of the layers below is gone, or all in its folder; null for a file. */
export type Mark = { kind: 'removes'; name: string } | { kind: 'clears' };

export function markOf(name: string): Mark | null {
  if (!name.startsWith(WHITEOUT)) return null;
  return name === OPAQUE ? { kind: 'clears' } : { kind: 'removes', name: name.slice(WHITEOUT.length) };
}

/**
 * Whether a path of a layer is a mark (kept as an empty file), of no meaning to anybody, or a file's. Throws `corrupt`
 * for marks that cannot be: of the root, of `..`, or with something in them.
 */
export function pathKind(names: readonly string[]): 'mark' | 'nothing' | 'file' {
  const marked = names.findIndex((name) => name.startsWith(WHITEOUT));
  if (marked < 0) return 'file';
  const mark = markOf(names[marked] ?? '');
  const path = names.join('/');
  if (mark?.kind === 'clears') {
    if (marked === 0) throw corrupt('the layer removes the root folder');
    if (marked === names.length - 1) return 'mark';
  }
  if (names[marked]?.startsWith(AUFS)) return 'nothing';
  if (marked !== names.length - 1 || mark?.kind !== 'removes' || ['', '.', '..'].includes(mark.name))
    throw corrupt(`the layer has a malformed whiteout: ${path}`);
  return 'mark';
}
