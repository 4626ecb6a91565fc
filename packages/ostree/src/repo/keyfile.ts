import { AtomicError } from '../error.ts';

type Line = { kind: 'other'; text: string } | { kind: 'key'; key: string; value: string };
interface Group {
  name: string;
  lines: Line[];
}

/**
 * A GKeyFile (`[group]`, `key=value`, `#` comments), as repository configs and deployment origins are.
 * Order and comments survive a round trip. Values are kept as written, but for GKeyFile's backslash escapes.
 */
export class KeyFile {
  readonly #preamble: string[] = [];
  readonly #groups: Group[] = [];

  /** Throws `invalid`, naming `name` and the line. */
  static parse(text: string, name = 'key file'): KeyFile {
    const file = new KeyFile();
    let group: Group | undefined;
    const lines = text.split('\n');
    if (lines.at(-1) === '') lines.pop();
    lines.forEach((line, index) => {
      const header = /^\[([^[\]]+)\]\s*$/.exec(line);
      const pair = /^([^#=[\s][^=]*?)\s*=\s*(.*?)\r?$/.exec(line);
      if (header?.[1] !== undefined) group = file.#group(header[1], true);
      else if (line.trim() === '' || line.startsWith('#')) {
        if (group === undefined) file.#preamble.push(line);
        else group.lines.push({ kind: 'other', text: line });
      } else if (pair?.[1] !== undefined && group !== undefined) {
        file.#put(group, pair[1], unquote(pair[2] ?? ''));
      } else {
        throw new AtomicError(
          'invalid',
          `${name}:${index + 1}: '${line.slice(0, 60)}' is neither a [group] nor key=value`,
        );
      }
    });
    return file;
  }

  groups(): string[] {
    return this.#groups.map((group) => group.name);
  }

  keys(group: string): string[] {
    return (this.#group(group)?.lines ?? []).flatMap((line) => (line.kind === 'key' ? [line.key] : []));
  }

  get(group: string, key: string): string | undefined {
    for (const line of this.#group(group)?.lines ?? []) if (line.kind === 'key' && line.key === key) return line.value;
    return undefined;
  }

  /** `true`/`1` and `false`/`0`, as GKeyFile; anything else throws `invalid`. */
  getBoolean(group: string, key: string): boolean | undefined {
    const value = this.get(group, key)?.trimEnd();
    if (value === undefined) return undefined;
    if (value === 'true' || value === '1') return true;
    if (value === 'false' || value === '0') return false;
    throw new AtomicError('invalid', `${key} in [${group}] is '${value}', neither true nor false`);
  }

  /** A list separated by `;` (or `,`), without empty items. */
  getList(group: string, key: string): string[] {
    return (this.get(group, key) ?? '').split(/[;,]/).filter((item) => item !== '');
  }

  set(group: string, key: string, value: string): void {
    const found = this.#group(group, true);
    if (found !== undefined) this.#put(found, key, value);
  }

  removeKey(group: string, key: string): boolean {
    const found = this.#group(group);
    const at = found?.lines.findIndex((line) => line.kind === 'key' && line.key === key) ?? -1;
    if (at >= 0) found?.lines.splice(at, 1);
    return at >= 0;
  }

  removeGroup(group: string): boolean {
    const at = this.#groups.findIndex(({ name }) => name === group);
    if (at >= 0) this.#groups.splice(at, 1);
    return at >= 0;
  }

  toString(): string {
    const out = [...this.#preamble];
    for (const group of this.#groups) {
      if (out.length > 0 && out.at(-1) !== '') out.push('');
      out.push(`[${group.name}]`);
      for (const line of group.lines) out.push(line.kind === 'other' ? line.text : `${line.key}=${quote(line.value)}`);
    }
    return `${out.join('\n')}\n`;
  }

  clone(): KeyFile {
    return KeyFile.parse(this.toString());
  }

  #group(name: string, create = false): Group | undefined {
    let group = this.#groups.find((candidate) => candidate.name === name);
    if (group === undefined && create) {
      group = { name, lines: [] };
      this.#groups.push(group);
    }
    return group;
  }

  #put(group: Group, key: string, value: string): void {
    const found = group.lines.find((line) => line.kind === 'key' && line.key === key);
    if (found?.kind === 'key') found.value = value;
    else {
      // New keys go before the blank lines that separate this group from the next.
      let at = group.lines.length;
      while (at > 0) {
        const line = group.lines[at - 1];
        if (line?.kind !== 'other' || line.text !== '') break;
        at--;
      }
      group.lines.splice(at, 0, { kind: 'key', key, value });
    }
  }
}

const unescapes: Record<string, string> = { s: ' ', n: '\n', t: '\t', r: '\r', '\\': '\\' };
const unquote = (text: string) => text.replace(/\\([sntr\\])/g, (_, code: string) => unescapes[code] ?? code);
/** As g_key_file_set_string() writes it: blanks are escaped only where a parser would drop them. */
const quote = (text: string) =>
  text
    .replace(/[\\\n\r]/g, (char) => ({ '\\': '\\\\', '\n': '\\n', '\r': '\\r' })[char] ?? char)
    .replace(/^[ \t]+/, (blanks) => blanks.replaceAll(' ', '\\s').replaceAll('\t', '\\t'));
