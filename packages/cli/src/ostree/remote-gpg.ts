import { readFileSync } from 'node:fs';
import {
  AtomicError,
  calendarTime,
  type GpgKey,
  type GpgSubkey,
  type GpgUserId,
  importGpgKeys,
  listGpgKeys,
} from '@atomic/ostree';
import { UsageError } from './options.ts';
import { importedText } from './remote.ts';
import { trustFromEnvironment } from './trust.ts';
import { COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

const STDIN = 0;

function readSource(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const reason =
      error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'No such file or directory' : error;
    throw new AtomicError('not-found', `Error opening file ${path}: ${reason}`, { cause: error });
  }
}

export const gpgImport: Verb = {
  args: 'NAME [KEY-ID...]',
  summary: 'Import GPG keys',
  options: [
    REPO,
    { long: 'keyring', short: 'k', arg: 'FILE', text: 'Import keys from a keyring file (repeatable)' },
    { long: 'stdin', text: 'Import keys from standard input' },
    ...COMMON,
  ],
  examples: [
    'ostree remote gpg-import --repo=repo --keyring=key.asc origin',
    'gpg --export 7FCA23D8472CDAFA | ostree remote gpg-import --repo=repo --stdin origin',
  ],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const name = required(args[0], 'NAME must be specified');
    const keyrings = options.list('keyring');
    const stdin = options.flag('stdin');
    if (stdin && keyrings.length > 0) throw new UsageError('--keyring and --stdin are mutually exclusive', true);
    const sources = stdin ? [readFileSync(STDIN)] : keyrings.map(readSource);
    const imported = await importGpgKeys(repo, name, sources, { keyIds: args.slice(1), signal: ctx.signal });
    ctx.print(importedText(imported, name));
  },
};

function time(seconds: number): string {
  const text = calendarTime(seconds);
  if (text === null) throw new AtomicError('invalid', `Invalid timestamp: ${seconds}`);
  return text;
}

function subkeyLines(key: GpgSubkey, primary: boolean): string[] {
  const [head, indent] = primary ? ['Key', '  '] : ['  Subkey', '    '];
  const lines = [
    `${head}: ${key.fingerprint}${key.revoked ? ' (revoked)' : ''}${key.invalid ? ' (invalid)' : ''}`,
    `${indent}Created: ${time(key.created)}`,
  ];
  if (key.expires > 0) lines.push(`${indent}${key.expired ? 'Expired' : 'Expires'}: ${time(key.expires)}`);
  return lines;
}

const userLines = (user: GpgUserId): string[] => [
  `  UID: ${user.uid}${user.revoked ? ' (revoked)' : ''}${user.invalid ? ' (invalid)' : ''}`,
  `  Advanced update URL: ${user.advancedUrl ?? ''}`,
  `  Direct update URL: ${user.directUrl ?? ''}`,
];

/** A key as stock's `remote gpg-list-keys` shows it. */
function keyText({ subkeys, userIds }: GpgKey): string {
  const [primary, ...others] = subkeys;
  if (primary === undefined) return '';
  return [
    ...subkeyLines(primary, true),
    ...userIds.flatMap(userLines),
    ...others.flatMap((key) => subkeyLines(key, false)),
  ].join('\n');
}

export const gpgListKeys: Verb = {
  args: 'NAME',
  summary: 'Show remote GPG keys',
  options: [REPO, ...COMMON, JSON_OPTION],
  examples: ['ostree remote gpg-list-keys --repo=repo origin', 'ostree remote gpg-list-keys --repo=repo'],
  async run(call) {
    const { ctx, args } = call;
    const repo = openRepo(call);
    const keys = await listGpgKeys(repo, args[0] ?? null, { trust: trustFromEnvironment(), signal: ctx.signal });
    if (ctx.json) ctx.printJson(keys);
    else for (const key of keys) ctx.print(keyText(key));
  },
};
