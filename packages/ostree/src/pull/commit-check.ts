import { AtomicError } from '../error.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { Commit } from '../objects/commit.ts';

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A time as strftime's `%c` has it in the C locale, UTC. */
function cTime(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = String(date.getUTCDate()).padStart(2, ' ');
  const [clock] = date.toISOString().slice(11).split('.');
  return `${days[date.getUTCDay()]} ${months[date.getUTCMonth()]} ${day} ${clock} ${date.getUTCFullYear()}`;
}

/** Throws `invalid` when a commit is older than the one it is to replace. */
export function checkNotOlder(
  before: { checksum: Checksum; commit: Commit },
  now: { checksum: Checksum; commit: Commit },
) {
  if (before.checksum === now.checksum || now.commit.timestamp >= before.commit.timestamp) return;
  throw new AtomicError(
    'invalid',
    `Upgrade target revision '${now.checksum}' with timestamp '${cTime(now.commit.timestamp)}' is chronologically older than current revision '${before.checksum}' with timestamp '${cTime(before.commit.timestamp)}'; use --allow-downgrade to permit`,
  );
}
