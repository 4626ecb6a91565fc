/**
 * The account databases of /etc (passwd(5), group(5), shadow(5), gshadow(5)) across an upgrade. The /etc merge keeps a
 * file that was edited here as it is, so users and groups that the new tree brings would be missing; they are added
 * line by line. Lines that are here are never changed, but for members the new tree adds to a group.
 */

export const ACCOUNT_FILES = ['group', 'passwd', 'gshadow', 'shadow'] as const;
export type AccountFile = (typeof ACCOUNT_FILES)[number];
/** Text of each file; one that is not there is missing. */
export type AccountTexts = Partial<Record<AccountFile, string>>;

export interface AccountConflict {
  file: 'passwd' | 'group';
  /** The new tree's user or group, which was not added. */
  name: string;
  /** Its number. */
  id: string;
  /** Who has that number here. */
  heldBy: string;
}

export interface AccountsReport {
  /** `user NAME`, `group NAME`, `member NAME of GROUP`. */
  added: string[];
  conflicts: AccountConflict[];
}

interface Line {
  name: string;
  fields: string[];
  text: string;
}

const FIELDS: Record<AccountFile, number> = { group: 4, passwd: 7, gshadow: 4, shadow: 9 };

function parse(file: AccountFile, text: string | undefined): Map<string, Line> {
  const found = new Map<string, Line>();
  for (const line of (text ?? '').split('\n')) {
    const fields = line.split(':');
    const [name] = fields;
    // NIS lines begin with + or -; anything with another number of fields is no account.
    if (name === undefined || name === '' || /^[+#-]/.test(name) || fields.length !== FIELDS[file]) continue;
    if (!found.has(name)) found.set(name, { name, fields, text: line });
  }
  return found;
}

const members = (line: Line): string[] => (line.fields.at(-1) ?? '').split(',').filter((name) => name !== '');

/** Puts lines at the end, but before the NIS lines, which have to be last. */
function append(text: string, lines: readonly string[]): string {
  if (lines.length === 0) return text;
  const all = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  const nis = all.findIndex((line) => /^[+-]/.test(line));
  all.splice(nis < 0 ? all.length : nis, 0, ...lines);
  return `${all.join('\n')}\n`;
}

/**
 * What `current` (edited here) becomes when the defaults go from `before` to `fresh`. A user or group that was in
 * `before` and is not in `current` was removed here and stays away; one whose number somebody has here already is left
 * out and reported, for it would own that one's files. Returns only the texts that change.
 */
export function mergeAccounts(
  before: AccountTexts,
  current: AccountTexts,
  fresh: AccountTexts,
): { texts: AccountTexts; report: AccountsReport } {
  const texts: AccountTexts = {};
  const report: AccountsReport = { added: [], conflicts: [] };
  const refused: Record<'group' | 'passwd', Set<string>> = { group: new Set(), passwd: new Set() };
  const refusedGids = new Set<string>();
  for (const file of ACCOUNT_FILES) {
    const text = current[file];
    if (text === undefined) continue;
    const old = parse(file, before[file]);
    const mine = parse(file, text);
    const holders = new Map([...mine.values()].map(({ name, fields }) => [fields[2] ?? '', name]));
    const main = file === 'gshadow' || file === 'group' ? 'group' : 'passwd';
    const lines: string[] = [];
    let changed = text;
    for (const entry of parse(file, fresh[file]).values()) {
      const { name, fields } = entry;
      const here = mine.get(name);
      if (here !== undefined) {
        if (main === 'group') changed = addMembers(changed, here, entry, old.get(name), file, report);
        continue;
      }
      if (old.has(name) || refused[main].has(name)) continue;
      if (file === 'passwd' || file === 'group') {
        const id = fields[2] ?? '';
        const heldBy = holders.get(id);
        const gid = file === 'passwd' ? (fields[3] ?? '') : '';
        if (heldBy !== undefined || refusedGids.has(gid)) {
          report.conflicts.push({ file, name, id, heldBy: heldBy ?? `another group (gid ${gid})` });
          refused[file].add(name);
          if (file === 'group') refusedGids.add(id);
          continue;
        }
        holders.set(id, name);
        report.added.push(`${file === 'passwd' ? 'user' : 'group'} ${name}`);
      }
      lines.push(entry.text);
    }
    changed = append(changed, lines);
    if (changed !== text) texts[file] = changed;
  }
  return { texts, report };
}

/** Adds to a group that is here the members the new defaults gave it. */
function addMembers(
  text: string,
  here: Line,
  fresh: Line,
  old: Line | undefined,
  file: AccountFile,
  report: AccountsReport,
): string {
  if (old === undefined) return text; // made here, of the same name: not the tree's group
  const had = new Set([...members(here), ...members(old)]);
  const added = members(fresh).filter((name) => !had.has(name));
  if (added.length === 0) return text;
  if (file === 'group') report.added.push(...added.map((name) => `member ${name} of ${here.name}`));
  const line = [...here.fields.slice(0, -1), [...members(here), ...added].join(',')].join(':');
  return text
    .split('\n')
    .map((other) => (other === here.text ? line : other))
    .join('\n');
}
