import { AtomicError } from '@atomic/ostree';

/**
 * Where a value lands, which decides how it is written there: in a string of JSON it is escaped, beside one it is JSON
 * itself; in a unit or a line for tmpfiles it is taken as it is, and must be one line.
 */
export type TemplateKind = 'json' | 'line';

// The syntax of Python's string.Template: $NAME, ${NAME}, $$. A dollar before anything else is a dollar.
const PLACE = /\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})/g;

/** The variables a template names. */
export function variablesOf(text: string): Set<string> {
  const names = new Set<string>();
  for (const [, plain, braced] of text.matchAll(PLACE)) {
    const name = plain ?? braced;
    if (name !== undefined) names.add(name);
  }
  return names;
}

/** For each position in a JSON text: is it inside a string? Asked in ascending order. */
function insideString(text: string): (position: number) => boolean {
  let at = 0;
  let inside = false;
  return (position) => {
    for (; at < position; at++) {
      if (text[at] === '"') inside = !inside;
      else if (inside && text[at] === '\\') at++;
    }
    return inside;
  };
}

/**
 * Fills a template once: what comes out of a variable is not looked at again. Throws `invalid` naming `file` and all
 * variables that have no value, or a value that cannot stand there.
 */
export function renderTemplate(
  text: string,
  values: ReadonlyMap<string, string>,
  { file, kind }: { file: string; kind: TemplateKind },
): string {
  const missing = [...variablesOf(text)].filter((name) => !values.has(name)).sort();
  if (missing.length > 0) {
    throw new AtomicError('invalid', `${file}: no value for ${missing.map((name) => `$${name}`).join(', ')}`, {
      hint: `give them: ${missing.map((name) => `--set ${name}=…`).join(' ')}`,
    });
  }
  const inString = kind === 'json' ? insideString(text) : () => false;
  return text.replace(PLACE, (_match, plain: string | undefined, braced: string | undefined, position: number) => {
    const name = plain ?? braced;
    if (name === undefined) return '$';
    const value = values.get(name) ?? '';
    if (kind === 'json') return inString(position) ? JSON.stringify(value).slice(1, -1) : value;
    if (/[\0-\x08\n-\x1f\x7f]/.test(value)) {
      throw new AtomicError('invalid', `${file}: the value of $${name} has more than one line, or control characters`);
    }
    return value;
  });
}
