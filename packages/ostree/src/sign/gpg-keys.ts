import { type GpgOutcome, runGpg } from './gpg-process.ts';
import { wkdUrls } from './wkd.ts';

/** A key or subkey in a keyring. Times are Unix seconds; 0 means never. */
export interface GpgSubkey {
  fingerprint: string;
  created: number;
  expires: number;
  revoked: boolean;
  expired: boolean;
  invalid: boolean;
}

export interface GpgUserId {
  uid: string;
  name: string;
  email: string;
  revoked: boolean;
  invalid: boolean;
  /** Where the owner's mail domain offers updates of the key (Web Key Directory); null without a mail address. */
  advancedUrl: string | null;
  directUrl: string | null;
}

export interface GpgKey {
  /** The primary key first. */
  subkeys: GpgSubkey[];
  userIds: GpgUserId[];
}

/** Options that make gpg look at one keyring file and nothing else, ask nobody, and judge no ownership. */
export const keyringOptions = (folder: string): string[] => [
  '--homedir',
  folder,
  '--no-default-keyring',
  '--keyring',
  `${folder}/pubring.gpg`,
  '--trust-model',
  'always',
  '--no-auto-check-trustdb',
  '--no-autostart',
];

export const LIST_FORMAT = ['--with-colons', '--fixed-list-mode', '--with-fingerprint', '--with-fingerprint'];

/** All keys in a folder's pubring.gpg, or those that `ids` name. */
export async function listKeyring(
  folder: string,
  ids: readonly string[] = [],
  signal?: AbortSignal,
): Promise<GpgKey[]> {
  const args = [...keyringOptions(folder), ...LIST_FORMAT, '--list-keys', ...(ids.length > 0 ? ['--', ...ids] : [])];
  return parseKeyListing(await runGpg('gpg', args, { signal }));
}

/** Parses `--with-colons` output (GnuPG's doc/DETAILS): a record a line, fields between colons. */
export function parseKeyListing({ stdout }: Pick<GpgOutcome, 'stdout'>): GpgKey[] {
  const keys: GpgKey[] = [];
  for (const line of stdout.toString().split('\n')) {
    const fields = line.split(':');
    const field = (n: number): string => fields[n - 1] ?? '';
    const key = keys.at(-1);
    if (field(1) === 'pub' || field(1) === 'sec') keys.push({ subkeys: [subkey(field)], userIds: [] });
    else if (field(1) === 'sub' || field(1) === 'ssb') key?.subkeys.push(subkey(field));
    else if (field(1) === 'fpr') {
      const last = key?.subkeys.at(-1);
      if (last !== undefined) last.fingerprint = field(10);
    } else if (field(1) === 'uid') key?.userIds.push(userId(unescapeField(field(10)), field(2)));
  }
  return keys;
}

function subkey(field: (n: number) => string): GpgSubkey {
  const validity = field(2);
  return {
    // Until its fpr record comes.
    fingerprint: field(5),
    created: Number(field(6)) || 0,
    expires: Number(field(7)) || 0,
    revoked: validity.includes('r'),
    expired: validity.includes('e'),
    invalid: validity.includes('i'),
  };
}

/** Colons and control characters stand as \xNN. */
function unescapeField(text: string): string {
  if (!text.includes('\\x')) return text;
  const bytes = Buffer.from(text);
  const out: number[] = [];
  for (let i = 0; i < bytes.length; i++) {
    const hex = /^\\x([0-9a-fA-F]{2})$/.exec(bytes.toString('latin1', i, i + 4))?.[1];
    out.push(hex === undefined ? (bytes[i] ?? 0) : Number.parseInt(hex, 16));
    if (hex !== undefined) i += 3;
  }
  return Buffer.from(out).toString();
}

function userId(uid: string, validity: string): GpgUserId {
  const { name, email } = parseUserId(uid);
  const urls = wkdUrls(email);
  return {
    uid,
    name,
    email,
    revoked: validity.includes('r'),
    invalid: validity.includes('i'),
    advancedUrl: urls?.advanced ?? null,
    directUrl: urls?.direct ?? null,
  };
}

/** `Name (comment) <mail>` as GPGME takes it apart. A bare mail address is a mail address. */
export function parseUserId(uid: string): { name: string; email: string } {
  const match = /^([^<]*)<([^>]*)>/.exec(uid);
  if (match === null)
    return /^[^\s@]+@[^\s@]+$/.test(uid) ? { name: '', email: uid } : { name: stripComment(uid), email: '' };
  return { name: stripComment(match[1] ?? ''), email: match[2] ?? '' };
}

const stripComment = (text: string): string => text.replace(/\([^)]*\)/g, '').trim();
