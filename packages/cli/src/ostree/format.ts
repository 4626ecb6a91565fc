import { AtomicError, type Commit, metadataString, print } from '@atomic/ostree';

/** A time in seconds as `show` and `log` print it, always in UTC. Throws `invalid` outside the years 1 to 9999. */
export function formatDate(seconds: number): string {
  const date = new Date(seconds * 1000);
  const year = date.getUTCFullYear();
  if (!(year >= 1 && year <= 9999)) {
    throw new AtomicError(
      'invalid',
      `Failed to read commit: Invalid timestamp: ${BigInt.asUintN(64, BigInt(seconds))}`,
    );
  }
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
