import { AtomicError } from '@atomic/ostree';
import { type Document, isCollection, isMap, isNode, isPair, isScalar, type LineCounter } from 'yaml';

/** A value and the place in a treefile it came from. */
export interface Located<T> {
  value: T;
  file: string;
  line: number;
}

/** What is wrong with a treefile, and where. */
export function invalid(file: string, line: number, message: string, hint?: string): AtomicError {
  return new AtomicError('invalid', `${file}:${line}: ${message}`, hint === undefined ? {} : { hint });
}

/** Finds the line of the key or item at a path. */
export type LineOf = (path: readonly PropertyKey[]) => number;

/** Line of the key or item at `path`; of the nearest thing around it when there is no such node. */
export function lineFinder(doc: Document, lines: LineCounter): LineOf {
  return (path) => {
    let node: unknown = doc.contents;
    let line = 1;
    for (const step of path) {
      if (!isCollection(node)) break;
      if (isMap(node)) {
        const pair = node.items.find((p) => isPair(p) && (isScalar(p.key) ? p.key.value : p.key) === step);
        if (pair === undefined) break;
        if (isNode(pair.key) && pair.key.range) line = lines.linePos(pair.key.range[0]).line;
        node = pair.value;
      } else {
        node = node.items[Number(step)];
        if (isNode(node) && node.range) line = lines.linePos(node.range[0]).line;
      }
    }
    return line;
  };
}
