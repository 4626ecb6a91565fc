import { AtomicError } from '../error.ts';
import { parseType } from './type.ts';

/** A piece of GVariant text, its type still open. `start` and `end` are where it stands, in UTF-16 units. */
export type TextNode = { start: number; end: number } & (
  | { kind: 'number'; text: string }
  | { kind: 'boolean'; value: boolean }
  | { kind: 'string'; value: string }
  | { kind: 'bytes'; value: Buffer }
  | { kind: 'array' | 'tuple'; items: TextNode[] }
  | { kind: 'dictionary'; pairs: [TextNode, TextNode][] }
  | { kind: 'entry'; key: TextNode; value: TextNode }
  | { kind: 'variant' | 'just'; child: TextNode }
  | { kind: 'nothing' }
  | { kind: 'typed'; type: string; child: TextNode }
);
type Body = TextNode extends infer Node ? (Node extends TextNode ? Omit<Node, 'start' | 'end'> : never) : never;

const KEYWORDS = new Map([
  ['boolean', 'b'],
  ['byte', 'y'],
  ['int16', 'n'],
  ['uint16', 'q'],
  ['int32', 'i'],
  ['handle', 'h'],
  ['uint32', 'u'],
  ['int64', 'x'],
  ['uint64', 't'],
  ['double', 'd'],
  ['string', 's'],
  ['objectpath', 'o'],
  ['signature', 'g'],
]);
const MAX_NESTING = 128;

/** Parses one value; throws `invalid`. */
export function parseTextTree(text: string): TextNode {
  const reader = new Reader(text);
  const node = reader.value(0);
  reader.end();
  return node;
}

interface Token {
  text: string;
  start: number;
  end: number;
}

const NUMBER = /[-+.0-9][-+.0-9A-Za-z]*/y;
const WORD = /[a-z][a-z0-9]*/y;
const SPACE = /[ \t\n\v\f\r]*/y;

class Reader {
  readonly #text: string;
  #at = 0;
  #peeked: Token | null = null;

  constructor(text: string) {
    this.#text = text;
  }

  /** Names the place as GLib does: a token that is wrong by its extent, something missing by where it should be. */
  #fail(what: string, token?: Token): AtomicError {
    const place = token === undefined ? `${this.#peek().start}` : `${token.start}-${token.end}`;
    return new AtomicError('invalid', `${place}:${what}`);
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0] ?? null;
  }

  #peek(): Token {
    if (this.#peeked !== null) return this.#peeked;
    this.#at += this.#match(SPACE)?.length ?? 0;
    const start = this.#at;
    const first = this.#text[start] ?? '';
    let text: string;
    if (first === '') text = '';
    else if (first === '@') text = this.#typeToken();
    else if (/['"]/.test(first) || (first === 'b' && /['"]/.test(this.#text[start + 1] ?? ''))) {
      text = this.#quotedToken();
    } else text = this.#match(NUMBER) ?? this.#match(WORD) ?? first;
    this.#peeked = { text, start, end: start + text.length };
    return this.#peeked;
  }

  /** A string with its quotes (and `b`). By hand: a pattern would need stack for each character. */
  #quotedToken(): string {
    const start = this.#at;
    let at = this.#text[start] === 'b' ? start + 1 : start;
    const quote = this.#text[at++];
    while (at < this.#text.length && this.#text[at] !== quote) at += this.#text[at] === '\\' ? 2 : 1;
    if (at >= this.#text.length) {
      throw new AtomicError('invalid', `${start}-${this.#text.length}:unterminated string constant`);
    }
    return this.#text.slice(start, at + 1);
  }

  /** `@TYPE` ends at a space, comma, colon, `]`, `>` or a bracket that was not opened in it. */
  #typeToken(): string {
    let open = 0;
    let end = this.#at + 1;
    for (; end < this.#text.length; end++) {
      const char = this.#text[end] ?? '';
      if (/[\s,:>\]]/.test(char)) break;
      if (char === '(' || char === '{') open++;
      else if ((char === ')' || char === '}') && --open < 0) break;
    }
    return this.#text.slice(this.#at, end);
  }

  #take(): Token {
    const token = this.#peek();
    this.#at = token.end;
    this.#peeked = null;
    return token;
  }

  /** Takes the next token if it is `text`. */
  #accept(text: string): boolean {
    if (this.#peek().text !== text) return false;
    this.#take();
    return true;
  }

  #expect(text: string, where: string): Token {
    if (this.#peek().text !== text) throw this.#fail(`expected '${text}'${where}`);
    return this.#take();
  }

  end(): void {
    if (this.#peek().text !== '') throw this.#fail('expected end of input');
  }

  value(depth: number): TextNode {
    const token = this.#peek();
    if (depth > MAX_NESTING) throw this.#fail('variant nested too deeply');
    const body = this.#body(depth);
    return { ...body, start: token.start, end: this.#at };
  }

  #body(depth: number): Body {
    const token = this.#peek();
    const { text } = token;
    const inner = () => this.value(depth + 1);
    switch (text[0]) {
      case '[':
        this.#take();
        return { kind: 'array', items: this.#list(']', " or ']' to follow array element", depth) };
      case '(':
        return this.#tuple(depth);
      case '{':
        return this.#dictionary(depth);
      case '<': {
        this.#take();
        const child = inner();
        this.#expect('>', ' to follow variant value');
        return { kind: 'variant', child };
      }
      case '@': {
        this.#take();
        const type = text.slice(1);
        try {
          parseType(type);
        } catch {
          throw this.#fail('invalid type declaration', token);
        }
        return { kind: 'typed', type, child: inner() };
      }
      case "'":
      case '"':
        this.#take();
        return { kind: 'string', value: this.#unescape(token) };
      case undefined:
        throw this.#fail('expected value');
    }
    if (/^b['"]/.test(text)) {
      this.#take();
      return { kind: 'bytes', value: unescapeBytes(text.slice(2, -1)) };
    }
    if (/^[-+.0-9]/.test(text) || text === 'inf' || text === 'nan') {
      this.#take();
      return { kind: 'number', text };
    }
    if (!/^[a-z]/.test(text)) throw this.#fail('expected value');
    this.#take();
    if (text === 'true' || text === 'false') return { kind: 'boolean', value: text === 'true' };
    if (text === 'nothing') return { kind: 'nothing' };
    if (text === 'just') return { kind: 'just', child: inner() };
    const type = KEYWORDS.get(text);
    if (type === undefined) throw this.#fail('unknown keyword', token);
    return { kind: 'typed', type, child: inner() };
  }

  #list(close: string, where: string, depth: number): TextNode[] {
    const items: TextNode[] = [];
    while (!this.#accept(close)) {
      if (items.length > 0) this.#expect(',', where);
      items.push(this.value(depth + 1));
    }
    return items;
  }

  /** `()`, `(1,)`, `(1, 2)`: a tuple of one needs its comma. */
  #tuple(depth: number): Body {
    this.#take();
    const items: TextNode[] = [];
    let comma = true;
    while (!this.#accept(')')) {
      if (!comma) this.#expect(',', " or ')' to follow tuple element");
      items.push(this.value(depth + 1));
      comma = false;
      if (items.length === 1) {
        this.#expect(',', ' after first tuple element');
        comma = true;
      }
    }
    return { kind: 'tuple', items };
  }

  /** `{}`, `{key: value, …}`, or one entry: `{key, value}`. */
  #dictionary(depth: number): Body {
    this.#take();
    const pairs: [TextNode, TextNode][] = [];
    while (!this.#accept('}')) {
      if (pairs.length > 0) this.#expect(',', " or '}' to follow dictionary entry");
      const key = this.value(depth + 1);
      if (pairs.length === 0 && this.#accept(',')) {
        const value = this.value(depth + 1);
        this.#expect('}', ' at end of dictionary entry');
        return { kind: 'entry', key, value };
      }
      this.#expect(':', " or ',' to follow dictionary entry key");
      pairs.push([key, this.value(depth + 1)]);
    }
    return { kind: 'dictionary', pairs };
  }

  #unescape(token: Token): string {
    return token.text.slice(1, -1).replace(/\\(u.{0,4}|U.{0,8}|.)/gsu, (_, escaped: string) => {
      const code = escaped[0] ?? '';
      if (code === 'u' || code === 'U') {
        const digits = escaped.slice(1);
        const point = Number.parseInt(digits, 16);
        const valid = /^[0-9a-fA-F]+$/.test(digits) && digits.length === (code === 'u' ? 4 : 8);
        if (!valid || point === 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
          throw this.#fail(`invalid ${code === 'u' ? 4 : 8}-character unicode escape`, token);
        }
        return String.fromCodePoint(point);
      }
      // A backslash at the end of a line joins it to the next.
      return code === '\n' ? '' : (ESCAPES[code] ?? escaped);
    });
  }
}

const ESCAPES: Record<string, string> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** The bytes of `b'…'`, with the NUL that ends them. */
function unescapeBytes(text: string): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const match of text.matchAll(/\\([0-7]{1,3}|.)/gsu)) {
    parts.push(Buffer.from(text.slice(at, match.index)));
    const escaped = match[1] ?? '';
    if (/^[0-7]/.test(escaped)) parts.push(Buffer.from([Number.parseInt(escaped, 8) & 0xff]));
    else if (escaped !== '\n') parts.push(Buffer.from(ESCAPES[escaped] ?? escaped));
    at = match.index + match[0].length;
  }
  parts.push(Buffer.from(text.slice(at)), Buffer.alloc(1));
  const bytes = Buffer.concat(parts);
  // As in C, a NUL written out ends the string.
  return bytes.subarray(0, bytes.indexOf(0) + 1);
}
