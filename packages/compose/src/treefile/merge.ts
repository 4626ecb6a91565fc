import type { Json } from '@atomic/ostree';
import type { VariableValue } from './conditions.ts';
import type { Layer } from './layer.ts';
import type { RawTreefile } from './schema.ts';
import { invalid, type Located } from './where.ts';

type KeysOf<T> = { [K in keyof RawTreefile]-?: NonNullable<RawTreefile[K]> extends T ? K : never }[keyof RawTreefile];
/** Keys whose value is a text, or a list of texts. */
export type TextKey = KeysOf<string>;
export type ListKey = KeysOf<string[]>;

/** The layers of a treefile as one: what each key comes to. `layers`: what counts least first. */
export class Merged {
  readonly layers: readonly Layer[];
  readonly #variables: ReadonlyMap<string, VariableValue>;

  constructor(layers: readonly Layer[], variables: ReadonlyMap<string, VariableValue>) {
    this.layers = layers;
    this.#variables = variables;
  }

  /** The value that counts most. */
  scalar<K extends keyof RawTreefile>(key: K): RawTreefile[K] | undefined {
    return this.#last(key)?.raw[key];
  }

  /** That value, a text, with its variables replaced. */
  text(key: TextKey): string | undefined {
    const layer = this.#last(key);
    const value = layer?.raw[key];
    return layer === undefined || value === undefined ? undefined : this.expand(value, layer, [key]);
  }

  /** Where that value was set. */
  placeOf(key: keyof RawTreefile): { file: string; line: number } {
    const layer = this.#last(key) ?? this.layers.at(-1);
    return layer === undefined ? { file: '', line: 1 } : { file: layer.file, line: layer.lineOf([key]) };
  }

  /** The lists of all layers, joined; `literal`: `${…}` means nothing in them. */
  list(key: ListKey, literal = false): Located<string>[] {
    return this.layers.flatMap((layer) =>
      (layer.raw[key] ?? []).map((value, index) => ({
        value: literal ? value : this.expand(value, layer, [key, index]),
        file: layer.file,
        line: layer.lineOf([key, index]),
      })),
    );
  }

  /** The maps of all layers, joined; variables are replaced in texts. */
  json(key: 'add-commit-metadata' | 'metadata'): Map<string, Json> {
    const joined = new Map<string, Json>();
    for (const layer of this.layers)
      for (const [name, value] of Object.entries(layer.raw[key] ?? {}))
        joined.set(name, typeof value === 'string' ? this.expand(value, layer, [key, name]) : value);
    return joined;
  }

  /** Replaces `${NAME}`; throws `invalid` for one that is not set. */
  expand(text: string, layer: Layer, where: readonly PropertyKey[]): string {
    return text.replace(/\$\{([A-Za-z0-9_]*)\}/g, (_, name: string) => {
      const value = this.#variables.get(name);
      if (value !== undefined) return String(value);
      throw invalid(
        layer.file,
        layer.lineOf(where),
        `'${String(where[0])}' uses \${${name}}, which is not set`,
        `set here: ${[...this.#variables.keys()].map((known) => `\${${known}}`).join(', ')}`,
      );
    });
  }

  #last(key: keyof RawTreefile): Layer | undefined {
    return this.layers.findLast((layer) => layer.raw[key] !== undefined);
  }
}
