import { AtomicError } from '@atomic/ostree';

/** A part of a word: text as it stands, or a place where a value comes. */
export type Piece =
  | { kind: 'text'; text: string; quoted: boolean }
  | { kind: 'variable'; name: string; quoted: boolean; operator?: Operator; operand?: Piece[] };

/** `-`/`+`/`?` as in a POSIX shell; with a colon, an empty value counts as none. */
export type Operator = '-' | ':-' | '+' | ':+' | '?' | ':?';

export interface Word {
  pieces: Piece[];
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*/;
const OPERATOR = /^:?[-+?]/;
const SHELL_WORD = /^(?:&&?|\|\|?|;;?|[0-9]?>>?|<)$/;

/** Reads a line by the quoting rules of a POSIX shell; nothing is run, nothing is looked up. */
class Reader {
  readonly #text: string;
  readonly #what: string;
  readonly #expand: boolean;
  #at = 0;

  constructor(text: string, what: string, expand: boolean) {
    this.#text = text;
    this.#what = what;
    this.#expand = expand;
  }

  fail(why: string, hint?: string): never {
    throw new AtomicError('invalid', `${this.#what}: ${why}: ${this.#text}`, { hint });
  }

  words(): Word[] {
    const words: Word[] = [];
    while (this.#at < this.#text.length) {
      if (/\s/.test(this.#text.charAt(this.#at))) this.#at++;
      else words.push(this.word());
    }
    return words;
  }

  word(): Word {
    const pieces = this.pieces((char) => /\s/.test(char));
    const [only] = pieces;
    const bare = pieces.length === 1 && only?.kind === 'text' && !only.quoted ? only.text : undefined;
    const last = pieces.at(-1);
    const ends = last?.kind === 'text' && !last.quoted && last.text.endsWith(';');
    if (this.#expand && ((bare !== undefined && SHELL_WORD.test(bare)) || ends)) {
      this.fail(`'${bare ?? ';'}' needs a shell, and labels get none`, "the image's maker can use sh -c '…'");
    }
    return { pieces };
  }

  pieces(ends: (char: string) => boolean): Piece[] {
    const pieces: Piece[] = [];
    const text = (part: string, quoted: boolean): void => {
      const last = pieces.at(-1);
      if (last?.kind === 'text' && last.quoted === quoted) last.text += part;
      else pieces.push({ kind: 'text', text: part, quoted });
    };
    for (;;) {
      const char = this.#text.charAt(this.#at);
      if (char === '' || ends(char)) return pieces;
      if (char === "'") {
        const end = this.#text.indexOf("'", this.#at + 1);
        if (end < 0) this.fail('a single quote is not closed');
        text(this.#text.slice(this.#at + 1, end), true);
        this.#at = end + 1;
      } else if (char === '"') {
        this.#at++;
        text('', true);
        this.#double(pieces, text);
      } else if (char === '\\') {
        if (this.#at + 1 >= this.#text.length) this.fail('it ends with a backslash');
        // A backslash at a line's end joins the lines.
        if (this.#text.charAt(this.#at + 1) !== '\n') text(this.#text.charAt(this.#at + 1), true);
        this.#at += 2;
      } else this.#plain(pieces, text, false);
    }
  }

  #double(pieces: Piece[], text: (part: string, quoted: boolean) => void): void {
    for (;;) {
      const char = this.#text.charAt(this.#at);
      if (char === '') this.fail('a double quote is not closed');
      if (char === '"') {
        this.#at++;
        return;
      }
      const next = this.#text.charAt(this.#at + 1);
      if (char === '\\' && next !== '' && '$`"\\\n'.includes(next)) {
        if (next !== '\n') text(next, true);
        this.#at += 2;
      } else this.#plain(pieces, text, true);
    }
  }

  /** One character, or one variable. */
  #plain(pieces: Piece[], text: (part: string, quoted: boolean) => void, quoted: boolean): void {
    const char = this.#text.charAt(this.#at);
    if (!this.#expand || (char !== '$' && char !== '`')) {
      text(char, quoted);
      this.#at++;
      return;
    }
    const rest = this.#text.slice(this.#at + 1);
    if (char === '`' || rest.startsWith('(')) {
      this.fail(
        'it wants the output of a command, and labels get no shell',
        'SUDO_UID and SUDO_GID hold who called: --user=${SUDO_UID}',
      );
    }
    const name = NAME.exec(rest)?.[0];
    if (name !== undefined) {
      pieces.push({ kind: 'variable', name, quoted });
      this.#at += 1 + name.length;
    } else if (rest.startsWith('{')) pieces.push(this.#braces(quoted));
    else if (/^[0-9@*#?$!-]/.test(rest)) this.fail(`'$${rest.charAt(0)}' has no meaning without a shell`);
    else {
      text('$', quoted);
      this.#at++;
    }
  }

  #braces(quoted: boolean): Piece {
    const start = this.#at;
    const rest = this.#text.slice(this.#at + 2);
    const name = NAME.exec(rest)?.[0];
    if (name === undefined) this.fail(`'${this.#text.slice(start, start + 12)}' is no variable`);
    this.#at += 2 + name.length;
    const after = this.#text.slice(this.#at);
    if (after.startsWith('}')) {
      this.#at++;
      return { kind: 'variable', name, quoted };
    }
    const operator = OPERATOR.exec(after)?.[0];
    if (!isOperator(operator)) {
      this.fail(
        `'\${${name}${after.slice(0, 8)}' is not known`,
        'known are ${V}, ${V:-default}, ${V:+other}, ${V:?why}',
      );
    }
    this.#at += operator.length;
    const operand = quoted ? this.#operandInQuotes() : this.pieces((char) => char === '}');
    if (this.#text.charAt(this.#at) !== '}') this.fail(`'\${${name}' is not closed`);
    this.#at++;
    return { kind: 'variable', name, quoted, operator, operand };
  }

  #operandInQuotes(): Piece[] {
    const pieces: Piece[] = [];
    const text = (part: string): void => {
      pieces.push({ kind: 'text', text: part, quoted: true });
    };
    for (;;) {
      const char = this.#text.charAt(this.#at);
      if (char === '' || char === '}' || char === '"') return pieces;
      if (char === '\\' && this.#at + 1 < this.#text.length) {
        text(this.#text.charAt(this.#at + 1));
        this.#at += 2;
      } else this.#plain(pieces, text, true);
    }
  }
}

const isOperator = (text: string | undefined): text is Operator => text !== undefined && OPERATOR.test(text);

/** The words of a label, with the places of its variables. Throws `invalid` for what only a shell could do. */
export const labelWords = (text: string, what: string): Word[] => new Reader(text, what, true).words();

/** The words of a line somebody typed or keeps in a file: quotes count, `$` is a letter like others. */
export function readWords(text: string, what: string): string[] {
  return new Reader(text, what, false)
    .words()
    .map(({ pieces }) => pieces.map((piece) => (piece.kind === 'text' ? piece.text : '')).join(''));
}

/** A word as a shell, and `readWords`, read it back. */
export function quoteWord(word: string): string {
  if (word !== '' && /^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command line that can be read back. */
export const quoteWords = (words: readonly string[]): string => words.map(quoteWord).join(' ');
