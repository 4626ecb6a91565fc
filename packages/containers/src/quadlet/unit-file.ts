import { splitWords, WordError } from './words.ts';

/** `Key=value` of a group, with the line it came from (undefined when we made it), or a comment or empty line. */
export type UnitLine =
  | { kind: 'entry'; key: string; value: string; line?: number | undefined }
  | { kind: 'comment'; text: string };

interface Group {
  name: string;
  /** Comments that stood before its header. */
  before: string[];
  lines: UnitLine[];
}

/** A file that is not in the syntax; `line` counts from 1. */
export class UnitSyntaxError extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

/** A key's words and what could not be read of them. */
export interface Words {
  words: string[];
  warnings: string[];
}

const isComment = (line: string): boolean => line === '' || line.startsWith('#') || line.startsWith(';');
/** Whether systemd reads it as yes. */
export const isOn = (content: string): boolean => ['1', 'yes', 'true', 'on'].includes(content.toLowerCase());

/**
 * A file of systemd's unit syntax (systemd.syntax(7)): groups of keys, continued lines, comments, keys that are given
 * several times and reset by an empty value. Order and comments are kept, so what is written is what was read; groups
 * that are opened twice become one.
 */
export class UnitFile {
  /** File name without folders: `web.container`. */
  name: string;
  /** Where it was read from; empty for one that lies nowhere. */
  readonly path: string;
  #groups: Group[] = [];

  constructor(name: string, path = '') {
    this.name = name;
    this.path = path;
  }

  /** Parses a file's text. Throws UnitSyntaxError. */
  static parse(text: string, name: string, path = ''): UnitFile {
    const file = new UnitFile(name, path);
    file.#read(text);
    return file;
  }

  #read(text: string): void {
    const lines = text.replace(/\n$/, '').split('\n');
    let open: Group | undefined;
    let comments: string[] = [];
    let continued = '';
    let continuedFrom = 0;
    for (const [index, raw] of lines.entries()) {
      let line = raw.trim();
      let number = index + 1;
      if (isComment(line)) {
        // Within a continued line a comment is as if it were not there.
        if (continued === '') comments.push(line);
        continue;
      }
      if (line.endsWith('\\')) {
        line = line.slice(0, -1);
        if (index !== lines.length - 1) {
          if (continued === '') continuedFrom = number;
          continued += line;
          continue;
        }
      }
      if (continued !== '') {
        line = continued + line;
        number = continuedFrom;
        continued = '';
      }
      const header = /^\[([^\]]*)\][ \t]*$/.exec(line);
      if (header !== null) {
        const group = header[1] ?? '';
        if (group === '' || /[[\p{Cc}]/u.test(group)) throw new UnitSyntaxError(number, `invalid group name: ${group}`);
        open = this.#group(group);
        // One empty line stands between groups anyhow.
        if (comments[0] === '') comments.shift();
        open.before.push(...comments);
        comments = [];
        continue;
      }
      const equals = line.indexOf('=');
      if (isComment(line)) {
        comments.push(line);
        continue;
      }
      if (equals <= 0) {
        throw new UnitSyntaxError(
          number,
          `file contains line ${number}: “${line}” which is not a key-value pair, group, or comment`,
        );
      }
      if (open === undefined) throw new UnitSyntaxError(number, 'key file does not start with a group');
      const key = line.slice(0, equals).trimEnd();
      for (const comment of comments) open.lines.push({ kind: 'comment', text: comment });
      comments = [];
      open.lines.push({ kind: 'entry', key, value: line.slice(equals + 1).trimStart(), line: number });
    }
    if (open !== undefined) for (const comment of comments) open.lines.push({ kind: 'comment', text: comment });
    else this.#group('').lines.push(...comments.map((comment): UnitLine => ({ kind: 'comment', text: comment })));
  }

  #find(group: string): Group | undefined {
    return this.#groups.find(({ name }) => name === group);
  }

  #group(name: string): Group {
    const found = this.#find(name);
    if (found !== undefined) return found;
    const made: Group = { name, before: [], lines: [] };
    this.#groups.push(made);
    return made;
  }

  /** A copy under another name, that lies nowhere. */
  copy(name: string): UnitFile {
    const file = new UnitFile(name);
    file.merge(this);
    return file;
  }

  /** Adds another file's groups and lines behind its own: what a drop-in does. */
  merge(other: UnitFile): void {
    for (const { name, before, lines } of other.#groups) {
      const group = this.#group(name);
      group.before.push(...before);
      group.lines.push(...lines.map((line) => ({ ...line })));
    }
  }

  groups(): string[] {
    return this.#groups.map(({ name }) => name);
  }

  /** Entries of a group in order. */
  entries(group: string): { key: string; value: string; line: number | undefined }[] {
    return (this.#find(group)?.lines ?? []).flatMap((line) =>
      line.kind === 'entry' ? [{ key: line.key, value: line.value, line: line.line }] : [],
    );
  }

  has(group: string, key: string): boolean {
    return this.last(group, key) !== undefined;
  }

  /** The last value of a key, as it stands. */
  last(group: string, key: string): string | undefined {
    return this.entries(group).findLast((entry) => entry.key === key)?.value;
  }

  /** The last value without white space behind it and without the one pair of double quotes around it. */
  value(group: string, key: string): string | undefined {
    const value = this.last(group, key)?.trimEnd();
    if (value === undefined) return undefined;
    return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  }

  flag(group: string, key: string): boolean | undefined {
    const value = this.value(group, key);
    return value === undefined ? undefined : isOn(value);
  }

  /** All values of a key; an empty one forgets those before it. */
  all(group: string, key: string): string[] {
    const values: string[] = [];
    for (const entry of this.entries(group)) {
      if (entry.key !== key) continue;
      if (entry.value === '') values.length = 0;
      else values.push(entry.value);
    }
    return values;
  }

  /** The names in all values of a key; a value with quotes left open counts for nothing. */
  list(group: string, key: string): string[] {
    return this.all(group, key).flatMap((value) => tryWords(value, 'list').words);
  }

  /** The words of all values of a key, with C escapes; one that has an unknown escape is left out, with a warning. */
  words(group: string, key: string): Words {
    const read = this.all(group, key).map((value) => tryWords(value, 'command'));
    return { words: read.flatMap(({ words }) => words), warnings: read.flatMap(({ warnings }) => warnings) };
  }

  /** The words of the last value: a command line. Undefined without the key. */
  command(group: string, key: string): Words | undefined {
    const value = this.last(group, key);
    return value === undefined ? undefined : tryWords(value, 'command');
  }

  /** `A=b "C=d e"`: names and values, sorted by name; a name alone has no value. */
  pairs(group: string, key: string): { pairs: [string, string | undefined][]; warnings: string[] } {
    const { words, warnings } = this.words(group, key);
    const pairs = new Map<string, string | undefined>();
    for (const word of words) {
      const equals = word.indexOf('=');
      if (equals === -1) pairs.set(word, undefined);
      else pairs.set(word.slice(0, equals), word.slice(equals + 1));
    }
    return { pairs: [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)), warnings };
  }

  add(group: string, key: string, value: string): void {
    this.#group(group).lines.push({ kind: 'entry', key, value });
  }

  /** Changes the last value of a key, or adds it. */
  set(group: string, key: string, value: string): void {
    const { lines } = this.#group(group);
    const index = lines.findLastIndex((line) => line.kind === 'entry' && line.key === key);
    if (index === -1) lines.push({ kind: 'entry', key, value });
    else lines[index] = { kind: 'entry', key, value };
  }

  prepend(group: string, key: string, value: string): void {
    this.#group(group).lines.unshift({ kind: 'entry', key, value });
  }

  remove(group: string, key: string): void {
    const found = this.#find(group);
    if (found !== undefined) found.lines = found.lines.filter((line) => line.kind !== 'entry' || line.key !== key);
  }

  removeGroup(name: string): void {
    this.#groups = this.#groups.filter((group) => group.name !== name);
  }

  /** Gives a group another name; when that one is there already, its lines go behind that one's. */
  renameGroup(from: string, to: string): void {
    const group = this.#find(from);
    if (group === undefined || from === to) return;
    const target = this.#find(to);
    if (target === undefined) {
      group.name = to;
      return;
    }
    target.before.push(...group.before);
    target.lines.push(...group.lines);
    this.removeGroup(from);
  }

  /** Comments at the very top. */
  prependComments(...comments: string[]): void {
    const first = this.#groups[0] ?? this.#group('');
    first.before.unshift(...comments.map((comment) => `# ${comment}`));
  }

  toString(): string {
    return this.#groups
      .map(({ name, before, lines }) => {
        const comments = before.map((comment) => `${comment}\n`).join('');
        // A file of comments only has a group without a name.
        if (name === '') return comments;
        const body = lines.map((line) => (line.kind === 'comment' ? `${line.text}\n` : `${line.key}=${line.value}\n`));
        return `${comments}[${name}]\n${body.join('')}`;
      })
      .join('\n');
  }
}

function tryWords(value: string, style: 'list' | 'command'): Words {
  try {
    return { words: splitWords(value, style), warnings: [] };
  } catch (error) {
    if (error instanceof WordError) return { words: [], warnings: [error.message] };
    throw error;
  }
}
