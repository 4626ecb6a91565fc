/** What a GPG signature turned out to be. Only `good` counts. */
export type GpgState = 'good' | 'bad' | 'expired' | 'key-expired' | 'key-revoked' | 'key-missing' | 'unknown';

/** One OpenPGP signature, as a verifier saw it. Times are Unix seconds; 0 means none or unknown. */
export interface GpgSignature {
  state: GpgState;
  /** Fingerprint of the key that made it, or its 64-bit ID where nothing more is known. */
  fingerprint: string;
  /** Fingerprint of the primary key that one belongs to; '' when it is not known. */
  primaryFingerprint: string;
  made: number;
  expires: number;
  algorithm: string;
  userName: string;
  userEmail: string;
  keyExpires: number;
  primaryKeyExpires: number;
}

const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Local time as GLib's `%c` has it in the POSIX locale (a figure space pads the day); null when no calendar has it. */
export function calendarTime(seconds: number): string | null {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return null;
  const two = (n: number): string => String(n).padStart(2, '0');
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  const day = String(date.getDate()).padStart(2, '\u2007');
  return `${WEEKDAYS[date.getDay()]} ${MONTHS[date.getMonth()]} ${day} ${clock} ${date.getFullYear()}`;
}

const keyId = (fingerprint: string): string => fingerprint.slice(-16);

/** A signature in the words of ostree_gpg_verify_result_describe(), each line after `prefix`. */
export function describeGpgSignature(signature: GpgSignature, prefix: string): string {
  const { state, fingerprint, primaryFingerprint, userName, userEmail } = signature;
  const made = calendarTime(signature.made);
  if (made === null) return `Can't check signature: timestamp ${signature.made} is invalid\n`;
  const user = `"${userName} <${userEmail}>"`;
  const verdicts: Record<GpgState, string> = {
    'key-missing': "Can't check signature: public key not found",
    good: `Good signature from ${user}`,
    'key-revoked': 'Key revoked',
    expired: `Expired signature from ${user}`,
    'key-expired': `BAD signature from ${user}`,
    bad: `BAD signature from ${user}`,
    unknown: `BAD signature from ${user}`,
  };
  const lines = [`Signature made ${made} using ${signature.algorithm} key ID ${keyId(fingerprint)}`, verdicts[state]];
  const bySubkey = fingerprint !== primaryFingerprint;
  if (state !== 'key-missing' && bySubkey) lines.push(`Primary key ID ${keyId(primaryFingerprint)}`);
  const expiry = (what: string, time: number, expired: boolean): void => {
    if (time <= 0) return;
    const when = calendarTime(time);
    lines.push(
      when === null
        ? `${what} expiry timestamp (${time}) is invalid`
        : `${what} ${expired ? 'expired' : 'expires'} ${when}`,
    );
  };
  expiry('Signature', signature.expires, state === 'expired');
  expiry('Key', signature.keyExpires, state === 'key-expired');
  if (bySubkey) expiry('Primary key', signature.primaryKeyExpires, state === 'key-expired');
  return lines.map((line) => `${prefix}${line}\n`).join('');
}

const listed = (signatures: readonly GpgSignature[]): string =>
  signatures.map((signature) => `\n${describeGpgSignature(signature, '  ')}`).join('');

const plural = (count: number): string => `${count} signature${count === 1 ? '' : 's'}`;

/** What stock's `pull` (on a terminal) and `remote summary` print about signatures they checked. */
export const gpgResultText = (signatures: readonly GpgSignature[]): string =>
  `GPG: Verification enabled, found ${plural(signatures.length)}:\n${listed(signatures)}`;

/** What stock's `show` (and, `where` being ` on the summary`, its `summary -v`) prints about signatures. */
export const gpgFoundText = (signatures: readonly GpgSignature[], where = ''): string =>
  `Found ${plural(signatures.length)}${where}:\n${listed(signatures)}`;

/** Why none of the signatures will do, the last one first; null when one of them is good. */
export function gpgFailure(signatures: readonly GpgSignature[]): string | null {
  if (signatures.some(({ state }) => state === 'good')) return null;
  if (signatures.length === 0) return 'No GPG signatures found';
  return [...signatures]
    .reverse()
    .map((signature) => describeGpgSignature(signature, ''))
    .join('')
    .trimEnd();
}
