/**
 * The words of a unit file's value, as systemd.syntax(7) and systemd.service(5) "COMMAND LINES" have them. Where the two
 * leave room, this does what podman's generator does, for the same file has to give the same unit.
 */

/** What a value is read as: a list of names (`WantedBy=`: a backslash is a character) or a command line (`Exec=`: C escapes). */
export type WordStyle = 'list' | 'command';

/** A value that cannot be split; the message says only why, the caller knows where. */
export class WordError extends Error {}

const SEPARATORS = ' \t\n\r';

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
  s: ' ',
};

/** What follows a backslash at `at`: the character meant and how much of the text it took; undefined when it is no escape. */
function readEscape(text: string, at: number): { value: string; length: number } | undefined {
  const letter = text[at] ?? '';
  const simple = SIMPLE_ESCAPES[letter];
  if (simple !== undefined) return { value: simple, length: 1 };
  const digits = { x: 2, u: 4, U: 8 }[letter];
  const [pattern, base, start, count] =
    digits === undefined ? [/^[0-7]{3}$/, 8, at, 3] : [/^[0-9a-fA-F]+$/, 16, at + 1, digits];
  const number = text.slice(start, start + count);
  if (number.length !== count || !pattern.test(number)) return undefined;
  const code = Number.parseInt(number, base);
  if (code === 0 || code > (base === 8 ? 255 : 0x10ffff)) return undefined;
  const surrogate = code >= 0xd800 && code <= 0xdfff;
  return { value: surrogate ? '\ufffd' : String.fromCodePoint(code), length: start + count - at };
}

interface Word {
  value: string;
  /** Where the next one starts. */
  end: number;
}

/** Reads the word that starts at `start`, which is no separator. */
function readWord(text: string, start: number, style: WordStyle): Word {
  let value = '';
  let quote = '';
  let at = start;
  for (; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '\\' && style === 'command') {
      // Tolerated at the very end, and nothing of it is kept.
      if (at + 1 === text.length) return { value, end: text.length };
      const escaped = readEscape(text, at + 1);
      if (escaped === undefined) throw new WordError('unsupported escape char');
      value += escaped.value;
      at += escaped.length;
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else value += char;
    } else if (char === '"' || char === "'") {
      quote = char;
    } else if (SEPARATORS.includes(char)) {
      while (at < text.length && SEPARATORS.includes(text.charAt(at))) at++;
      return { value, end: at };
    } else {
      value += char;
    }
  }
  if (quote !== '' && style === 'list') throw new WordError('unbalanced quotes');
  return { value, end: at };
}

/**
 * Splits a value into its words and takes their quotes off. An empty word ends the list, as it does for podman.
 * Throws WordError: quotes left open in a list, or an escape a command line does not know.
 */
export function splitWords(value: string, style: WordStyle): string[] {
  // A NUL ends a string for systemd.
  const nul = value.indexOf('\0');
  const text = nul === -1 ? value : value.slice(0, nul);
  const words: string[] = [];
  let at = 0;
  while (at < text.length && SEPARATORS.includes(text.charAt(at))) at++;
  while (at < text.length) {
    const word = readWord(text, at, style);
    if (word.value === '') break;
    words.push(word.value);
    at = word.end;
  }
  return words;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\f': '\\f',
  '\\': '\\\\',
  ' ': '\\x20',
  '"': '\\"',
  "'": "'",
};

/** White space, control characters, quotes and backslashes: what systemd would not take as it stands. */
const UNSAFE = /[\x00-\x20\x7f\x80"'\\]/;

function escapeCharacter(char: string): string {
  return ESCAPES[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

/** A word as it is written into a unit file, quoted only when it has to be. */
export function quoteWord(word: string): string {
  if (!UNSAFE.test(word)) return word;
  return `"${word.replaceAll(new RegExp(UNSAFE, 'g'), escapeCharacter)}"`;
}

/** A command line as it is written into a unit file. */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(' ');
}
