const TITLES = '| operation | stock | ours |';

/** What a row is known by: its name, without the sizes that a run adds. */
const nameOf = (line: string): string => (line.split(' | ')[0] ?? '').split(';')[0] ?? '';

/**
 * A report with these rows instead of its own of the same name; those it has not come at the end. All else in it stays.
 * Throws where there is no table.
 */
export function keepRows(report: string, rows: readonly string[]): string {
  const lines = report.split('\n');
  const titles = lines.findIndex((line) => line.startsWith(TITLES));
  if (titles === -1) throw new Error('the report has no table: write it whole first');
  const fresh = new Map(rows.map((row) => [nameOf(row), row]));
  let end = titles + 2;
  for (; lines[end]?.startsWith('|'); end++) {
    const name = nameOf(lines[end] ?? '');
    lines[end] = fresh.get(name) ?? lines[end] ?? '';
    fresh.delete(name);
  }
  lines.splice(end, 0, ...fresh.values());
  return lines.join('\n');
}
