import { KEYS, QUADLET_KEYS } from './keys.ts';
import { UnitFile, UnitSyntaxError } from './unit-file.ts';
import { GROUP_OF, QUADLET_TYPES, quadletType } from './unit-names.ts';

/** What is wrong with a source, and where. */
export interface SourceIssue {
  /** Counted from 1; undefined when it is about the whole file. */
  line: number | undefined;
  message: string;
}

/** The known word that is nearest to a mistyped one, when one is near. */
function nearest(word: string, known: Iterable<string>): string | undefined {
  const lower = word.toLowerCase();
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(lower, name.toLowerCase());
    if (distance <= 2 && distance < (best?.distance ?? 3)) best = { name, distance };
  }
  return best?.name;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/**
 * All that can be said of one source by itself, with lines: its syntax, groups of another type, and keys nobody knows,
 * with the one that may be meant.
 */
export function checkSource(text: string, name: string): SourceIssue[] {
  const type = quadletType(name);
  if (type === undefined) {
    const known = QUADLET_TYPES.map((one) => `.${one}`).join(' ');
    return [{ line: undefined, message: `${name} is no source: its name must end in one of ${known}` }];
  }
  let file: UnitFile;
  try {
    file = UnitFile.parse(text, name);
  } catch (error) {
    if (error instanceof UnitSyntaxError) return [{ line: error.line, message: error.message }];
    throw error;
  }
  const group = GROUP_OF[type];
  const issues: SourceIssue[] = [];
  if (!file.groups().includes(group)) issues.push({ line: undefined, message: `the group [${group}] is missing` });
  for (const other of file.groups()) {
    const wrong = QUADLET_TYPES.find((one) => GROUP_OF[one] === other);
    if (wrong !== undefined && wrong !== type) {
      issues.push({ line: file.entries(other)[0]?.line, message: `[${other}] belongs into a .${wrong}` });
    }
  }
  for (const [of, known] of [
    [group, KEYS[type]],
    ['Quadlet', QUADLET_KEYS],
  ] as const) {
    for (const { key, line } of file.entries(of)) {
      if (known.has(key)) continue;
      const meant = nearest(key, known);
      const elsewhere = QUADLET_TYPES.find((one) => KEYS[one].has(key));
      const hint =
        meant !== undefined
          ? `; ${meant} may be meant`
          : elsewhere === undefined
            ? ''
            : `; it belongs into a .${elsewhere}`;
      issues.push({ line, message: `unknown key ${key} in [${of}]${hint}` });
    }
  }
  return issues;
}
