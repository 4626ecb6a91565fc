import { type Commit, metadataString, print } from '@atomic/ostree';

/** A time in seconds as `show` and `log` print it, always in UTC. */
export function formatDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return '(invalid date)';
  return `${date.toISOString().slice(0, 19).replace('T', ' ')} +0000`;
}

/** A time in seconds as `summary -v` prints it: local, with the shortest zone. */
export function formatLocalDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const offset = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, 19);
  const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0');
  const minutes = Math.abs(offset) % 60;
  return `${local}${offset < 0 ? '-' : '+'}${hours}${minutes === 0 ? '' : `:${String(minutes).padStart(2, '0')}`}`;
}

export { formatSize } from '@atomic/ostree';

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const UNITS: Record<string, number> = {
  sec: 1,
  second: 1,
  min: 60,
  minute: 60,
  hour: 3600,
  day: 86_400,
  week: 604_800,
  fortnight: 1_209_600,
};

/** Seconds east of UTC for `Z`, `UTC`, `+0200`, `+02:00`; undefined for local time. */
function zoneOffset(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const match = /^([+-])(\d{2}):?(\d{2})?$/.exec(text);
  if (match === null) return 0;
  const seconds = Number(match[2]) * 3600 + Number(match[3] ?? '0') * 60;
  return match[1] === '-' ? -seconds : seconds;
}

function moment(parts: (string | undefined)[], zone: string | undefined): number | null {
  const [year, month, day, hour, minute, second] = parts.map((part) => Number(part ?? '0'));
  if (year === undefined || month === undefined || day === undefined) return null;
  if (month < 1 || month > 12 || day < 1 || day > 31 || (hour ?? 0) > 24 || (minute ?? 0) > 59) return null;
  const offset = zoneOffset(zone);
  const time =
    offset === undefined
      ? new Date(year, month - 1, day, hour, minute, second).getTime() / 1000
      : Date.UTC(year, month - 1, day, hour, minute, second) / 1000 - offset;
  return Number.isFinite(time) ? time : null;
}

/**
 * Reads a date as `--timestamp` takes it: `@SECONDS`, ISO 8601, RFC 2822, `now`, `yesterday`, `3 days ago`. Null when
 * it is none of these.
 */
export function parseDate(text: string, now: number = Math.floor(Date.now() / 1000)): number | null {
  const trimmed = text.trim();
  const epoch = /^@(-?\d+)(?:\.\d+)?$/.exec(trimmed);
  if (epoch?.[1] !== undefined) return Number(epoch[1]);
  const lower = trimmed.toLowerCase();
  if (lower === 'now' || lower === '' || lower === 'today') return now;
  if (lower === 'yesterday') return now - 86_400;
  if (lower === 'tomorrow') return now + 86_400;
  const relative = /^([+-]?\d+)\s*([a-z]+?)s?(\s+ago)?$/.exec(lower);
  const unit = UNITS[relative?.[2] ?? ''];
  if (relative?.[1] !== undefined && unit !== undefined) {
    return now + Number(relative[1]) * unit * (relative[3] === undefined ? 1 : -1);
  }
  const iso =
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?)?\s*(Z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?$/i.exec(
      trimmed,
    );
  if (iso !== null) return moment(iso.slice(1, 7), iso[7]);
  const mail =
    /^(?:[a-z]{3},?\s+)?(\d{1,2})\s+([a-z]{3})[a-z]*\s+(\d{4})(?:\s+(\d{1,2}):(\d{2})(?::(\d{2}))?)?\s*(Z|UTC|GMT|[+-]\d{4})?$/i.exec(
      trimmed,
    );
  if (mail !== null) {
    const month = MONTHS.indexOf((mail[2] ?? '').toLowerCase()) + 1;
    return moment([mail[3], String(month), mail[1], mail[4], mail[5], mail[6]], mail[7]);
  }
  return null;
}

/** SHA-256 digests in GVariants are bytes; people read hex. */
export interface ShownCommit {
  checksum: string;
  commit: Commit;
  contentChecksum: string;
}

/** A commit as `show` and `log` print it, with the blank line that ends it. */
export function commitText(shown: ShownCommit): string {
  const { checksum, commit, contentChecksum } = shown;
  const lines = [`commit ${checksum}`];
  if (commit.parent !== null) lines.push(`Parent:  ${commit.parent}`);
  lines.push(`ContentChecksum:  ${contentChecksum}`, `Date:  ${formatDate(commit.timestamp)}`);
  const version = metadataString(commit.metadata, 'version');
  if (version !== undefined) lines.push(`Version: ${version}`);
  if (commit.subject === '') lines.push('(no subject)');
  else lines.push('', ...indent(commit.subject));
  if (commit.body !== '') lines.push('', ...indent(commit.body));
  return `${lines.join('\n')}\n\n`;
}

function indent(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => `    ${line}`);
}

/** A commit as JSON. */
export function commitJson(shown: ShownCommit): Record<string, unknown> {
  const { commit } = shown;
  return {
    checksum: shown.checksum,
    parent: commit.parent,
    contentChecksum: shown.contentChecksum,
    timestamp: commit.timestamp,
    date: formatDate(commit.timestamp),
    version: metadataString(commit.metadata, 'version') ?? null,
    subject: commit.subject,
    body: commit.body,
    metadata: Object.fromEntries(
      [...commit.metadata].map(([key, variant]) => [
        key,
        typeof variant.value === 'string' || typeof variant.value === 'boolean'
          ? variant.value
          : print(variant.type, variant.value),
      ]),
    ),
  };
}
