import { AtomicError } from '@atomic/ostree';
import { engineOf, optionName, wantsNext } from './engine-line.ts';
import { labelWords, type Piece, readWords, type Word } from './words.ts';

/** Values that hold several words: what the caller typed for them, or what a file says. */
const LISTS = new Set(['OPT1', 'OPT2', 'OPT3', 'RUN_OPTS']);

/** Options whose value may lack a part: an empty variable is what everybody expects of `-e HTTP_PROXY=${HTTP_PROXY}`. */
const MAY_BE_EMPTY = new Set(['env', 'label', 'annotation', 'add-host']);

export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The words of a label with its variables' values. The label is taken apart first, then each place gets its value, once:
 * what a value holds is never read again. Throws `invalid` for what only a shell could do, and where a value is missing
 * inside an option.
 */
export function substitute(label: string, variables: Variables, what: string): string[] {
  const done: string[] = [];
  // As soon as the image is there, options are the container's command's.
  let options = true;
  for (const word of labelWords(label, what)) {
    const previous = done.at(-1) ?? '';
    const taker = options && wantsNext(previous) ? optionName(previous.replace(/^--?/, '')) : undefined;
    const words = expand(word, variables, what, options ? taker : '');
    if (words.length === 0 && taker !== undefined) {
      const missing = word.pieces.find((piece) => piece.kind === 'variable');
      throw unset(missing?.kind === 'variable' ? missing.name : '', `${previous} would have no value`, what);
    }
    const image = variables['IMAGE'];
    if (done.length > 0 && taker === undefined && image !== undefined && words[0] === image) options = false;
    done.push(...words);
  }
  return done;
}

const unset = (name: string, why: string, what: string): AtomicError =>
  new AtomicError('invalid', `${what}: the variable ${name} is not set, and ${why}`, {
    hint: `set it: ${name}=VALUE atomic …`,
  });

/** `taker`: the option whose value the word is; '' where no options are any more. */
function expand(word: Word, variables: Variables, what: string, taker: string | undefined): string[] {
  const [only] = word.pieces;
  if (word.pieces.length === 1 && only !== undefined) {
    if (only.kind === 'variable' && !only.quoted && LISTS.has(only.name) && only.operator === undefined) {
      return readWords(variables[only.name] ?? '', only.name);
    }
    if (only.kind === 'text' && !only.quoted) {
      const match = /^(.*=)?(IMAGE|NAME)$/s.exec(only.text);
      const value = match === null ? undefined : variables[match[2] ?? ''];
      if (value !== undefined) return [`${match?.[1] ?? ''}${value}`];
    }
  }
  const text = word.pieces.map((piece) => value(piece, variables, what) ?? '').join('');
  if (text === '' && word.pieces.every((piece) => piece.kind === 'variable' && !piece.quoted)) return [];
  const inOption = taker === undefined ? /^--?([^=\s]+)=/.exec(text)?.[1] : taker;
  if (inOption !== undefined && inOption !== '' && !MAY_BE_EMPTY.has(optionName(inOption))) {
    for (const piece of word.pieces) {
      if (piece.kind === 'variable' && piece.operator === undefined && variables[piece.name] === undefined)
        throw unset(piece.name, `'${text}' of --${optionName(inOption)} needs it`, what);
    }
  }
  return [text];
}

function value(piece: Piece, variables: Variables, what: string): string | undefined {
  if (piece.kind === 'text') return piece.text;
  const { name, operator, operand = [] } = piece;
  const found = variables[name];
  if (operator === undefined) return found;
  const there = found !== undefined && !(operator.startsWith(':') && found === '');
  const other = (): string => operand.map((part) => value(part, variables, what) ?? '').join('');
  switch (operator) {
    case '-':
    case ':-':
      return there ? found : other();
    case '+':
    case ':+':
      return there ? other() : '';
    case '?':
    case ':?':
      if (there) return found;
      throw unset(name, other() || 'the label needs it', what);
  }
}

/** The first word is the engine that is used, whichever the label names. */
export function withEngine(words: readonly string[], engine: readonly string[]): string[] {
  const [program, ...rest] = words;
  return program !== undefined && engineOf(program) !== undefined ? [...engine, ...rest] : [...words];
}
