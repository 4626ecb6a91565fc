import { existsSync, statSync } from 'node:fs';
import {
  AtomicError,
  DEFAULT_SIGN_TYPE,
  deltaName,
  type GenerateDeltaOptions,
  generateDelta,
  hasDelta,
  type Repo,
  readSecretKeys,
  type SignRequest,
} from '@atomic/ostree';
import type { Options } from './options.ts';
import { trustFromEnvironment } from './trust.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

/** Sizes are given in megabytes, and read as C reads numbers: what is none counts as 0. */
const megabytes = (options: Options, name: string): number | undefined => {
  const text = options.value(name);
  return text === undefined ? undefined : Number.parseInt(/^\s*\+?\d+/.exec(text)?.[0] ?? '0', 10) * 1_000_000;
};

function endianness(options: Options): 'little' | 'big' {
  const given = options.value('set-endianness') ?? 'l';
  if (given !== 'l' && given !== 'B') throw new AtomicError('usage', `Invalid endianness '${given}'`);
  return (given === 'B') === options.flag('swap-endianness') ? 'little' : 'big';
}

function signature(options: Options, signal: AbortSignal): SignRequest | undefined {
  const type = options.value('sign-type') ?? DEFAULT_SIGN_TYPE;
  const file = options.value('keys-file');
  const keys = options.list('sign');
  if (keys.length === 0 && file === undefined) return undefined;
  if (file !== undefined && !(existsSync(file) && statSync(file).isFile())) {
    throw new AtomicError('not-found', `File object '${file}' is not a regular file`);
  }
  const secrets = [...keys, ...(file === undefined ? [] : readSecretKeys(type, file))];
  return { type, secrets, trust: trustFromEnvironment(), signal };
}

/** The commits a call is about. */
function commits(call: Call, repo: Repo): { from: string | null; to: string } {
  const { options, args } = call;
  const to = options.value('to') ?? args[0];
  if (to === undefined) throw new AtomicError('usage', 'TO revision must be specified');
  const from = options.value('from');
  if (options.flag('empty')) {
    if (from !== undefined) throw new AtomicError('usage', 'Cannot specify both --empty and --from=REV');
    return { from: null, to: repo.resolveRev(to) };
  }
  return { from: repo.resolveRev(from ?? `${to}^`), to: repo.resolveRev(to) };
}

export const generate: Verb = {
  args: '[TO]',
  summary: 'Generate static delta files',
  options: [
    REPO,
    { long: 'from', arg: 'REV', text: 'Create delta from revision REV' },
    { long: 'empty', text: 'Create delta from scratch' },
    { long: 'inline', text: 'Inline delta parts into main delta' },
    { long: 'to', arg: 'REV', text: 'Create delta to revision REV' },
    { long: 'disable-bsdiff', text: 'Disable use of bsdiff' },
    { long: 'if-not-exists', short: 'n', text: 'Only generate if a delta does not already exist' },
    { long: 'set-endianness', arg: 'ENDIAN', text: "Choose metadata endianness ('l' or 'B')" },
    { long: 'swap-endianness', text: 'Swap metadata endianness from host order' },
    {
      long: 'min-fallback-size',
      arg: 'REV',
      text: 'Minimum uncompressed size in megabytes for individual HTTP request',
    },
    {
      long: 'max-bsdiff-size',
      arg: 'REV',
      text: 'Maximum size in megabytes to consider bsdiff compression for input files',
    },
    { long: 'max-chunk-size', arg: 'REV', text: 'Maximum size of delta chunks in megabytes' },
    {
      long: 'filename',
      arg: 'PATH',
      text: 'Write the delta content to PATH (a directory).  If not specified, the OSTree repository is used',
    },
    { long: 'sign', arg: 'KEY_ID', text: 'Sign the delta with' },
    { long: 'sign-type', arg: 'NAME', text: "Signature type to use (defaults to 'ed25519')" },
    { long: 'keys-file', arg: 'NAME', text: 'Read key(s) from file' },
    { long: 'no-lean', text: 'Leave out the smaller parts that only atomic reads', ours: true },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: [
    'ostree static-delta generate --repo=repo debian/12/x86_64/minimal',
    'ostree static-delta generate --repo=repo --empty --inline --filename=./whole.delta debian/12/x86_64/minimal',
  ],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    if (!repo.writable) throw new AtomicError('permission', 'Unable to write to the repository: permission denied');
    const { from, to } = commits(call, repo);
    const name = { from, to };
    if (options.flag('if-not-exists') && hasDelta(repo, name)) {
      if (ctx.json) ctx.printJson({ ...name, exists: true });
      else ctx.print(`Delta ${deltaName(name)} already exists.`);
      return;
    }
    const request: GenerateDeltaOptions = {
      ...name,
      minFallbackSize: megabytes(options, 'min-fallback-size'),
      maxBsdiffSize: megabytes(options, 'max-bsdiff-size'),
      maxChunkSize: megabytes(options, 'max-chunk-size'),
      bsdiff: !options.flag('disable-bsdiff'),
      inline: options.flag('inline'),
      lean: options.flag('no-lean') ? false : undefined,
      filename: options.value('filename'),
      endianness: endianness(options),
      sign: signature(options, ctx.signal),
      signal: ctx.signal,
      progress: ({ message }) => {
        if (message !== undefined) ctx.warn(message);
      },
    };
    if (!ctx.json) ctx.print(`Generating static delta:\n  From: ${from ?? 'empty'}\n  To:   ${to}`);
    const result = await generateDelta(repo, request);
    if (ctx.json) ctx.printJson(result);
  },
};
