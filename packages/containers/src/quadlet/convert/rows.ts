import type { Conversion } from './conversion.ts';

/**
 * How a key's values become words of the engine's command line: `value`: the last one, unless empty; `each`: every
 * one; `flag`: a boolean; `list`: the names in all; `words`: the words of all; `pairs`: names with values.
 */
export interface Row {
  key: string;
  take: 'value' | 'each' | 'flag' | 'list' | 'words' | 'pairs';
  /** The option that comes before each value, or what to make of a value (of a flag: `true` or `false`). */
  as: string | ((value: string) => readonly string[]);
}

const row =
  (take: Row['take']) =>
  (key: string, as: Row['as']): Row => ({ key, take, as });

export const value = row('value');
export const each = row('each');
export const flag = row('flag');
export const list = row('list');
export const words = row('words');
export const pairs = row('pairs');

function valuesOf({ source, group, warnings }: Conversion, { key, take }: Row): string[] {
  switch (take) {
    case 'value': {
      const last = source.value(group, key);
      return last === undefined || last === '' ? [] : [last];
    }
    case 'each':
      return source.all(group, key);
    case 'flag': {
      const set = source.flag(group, key);
      return set === undefined ? [] : [String(set)];
    }
    case 'list':
      return source.list(group, key);
    case 'words': {
      // Only what is a name and value, or the command itself, is worth a warning to podman; so it is to us.
      return source.words(group, key).words;
    }
    case 'pairs': {
      const read = source.pairs(group, key);
      warnings.push(...read.warnings);
      return read.pairs.map(([name, content]) => (content === undefined ? name : `${name}=${content}`));
    }
  }
}

/** The words that rows make of the keys the source has. */
export function rowWords(conversion: Conversion, rows: readonly Row[]): string[] {
  return rows.flatMap((one) =>
    valuesOf(conversion, one).flatMap((content) => {
      if (typeof one.as !== 'string') return one.as(content);
      if (one.take === 'flag') return content === 'true' ? [one.as] : [`${one.as}=false`];
      return [one.as, content];
    }),
  );
}
