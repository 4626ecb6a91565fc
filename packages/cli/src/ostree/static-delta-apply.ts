import {
  AtomicError,
  applyDeltaOffline,
  DEFAULT_SIGN_TYPE,
  type SignEngine,
  signEngine,
  verifyDelta,
} from '@atomic/ostree';
import type { OptionSpec } from './options.ts';
import { deltaArgument } from './static-delta.ts';
import { trustFromEnvironment } from './trust.ts';
import { type Call, COMMON, openRepo, REPO, type Verb } from './verb.ts';

const KEYS: readonly OptionSpec[] = [
  { long: 'sign-type', arg: 'NAME', text: "Signature type to use (defaults to 'ed25519')" },
  { long: 'keys-file', arg: 'NAME', text: 'Read key(s) from file' },
  {
    long: 'keys-dir',
    arg: 'NAME',
    text: 'Redefine system-wide directories with public and revoked keys for verification',
  },
];

/** Gives an engine the keys named after the delta, and those of the options or the system. */
function loadKeys(call: Call, engine: SignEngine): void {
  const { options, args } = call;
  const keys = args.slice(1);
  for (const key of keys) engine.addPublicKey(key);
  const file = options.value('keys-file');
  if (keys.length === 0 || file !== undefined) engine.loadPublicKeys({ file, baseDir: options.value('keys-dir') });
}

/** The engine to check with; null when nobody named keys and the system has none. */
function engineIfAny(call: Call): SignEngine | null {
  const { options } = call;
  const type = options.value('sign-type') ?? DEFAULT_SIGN_TYPE;
  let engine: SignEngine;
  try {
    engine = signEngine(type, trustFromEnvironment());
  } catch (error) {
    throw new AtomicError('unsupported', `Signing type ${type} is not supported`, { cause: error });
  }
  try {
    loadKeys(call, engine);
    return engine;
  } catch (error) {
    const asked = call.args.length > 1 || ['keys-file', 'keys-dir'].some((name) => options.value(name) !== undefined);
    if (asked || !(error instanceof AtomicError)) throw error;
    return null;
  }
}

export const applyOffline: Verb = {
  args: 'PATH [KEY-ID...]',
  summary: 'Apply static delta file',
  options: [REPO, ...KEYS, ...COMMON],
  examples: [
    'ostree static-delta apply-offline --repo=repo ./update.delta',
    'ostree static-delta apply-offline --repo=repo --keys-file=trusted.ed25519 ./update.delta',
  ],
  async run(call) {
    const { ctx, args } = call;
    const repo = openRepo(call);
    const [path] = args;
    if (path === undefined) throw new AtomicError('usage', 'PATH must be specified');
    await applyDeltaOffline(repo, path, { engine: engineIfAny(call), signal: ctx.signal, progress: ctx.progress });
  },
};

export const verify: Verb = {
  args: 'STATIC-DELTA-FILE [KEY-ID...]',
  summary: 'Verify static delta signatures',
  options: [REPO, ...KEYS, ...COMMON],
  examples: ['ostree static-delta verify --repo=repo --keys-file=trusted.ed25519 FROM-TO'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const id = deltaArgument(call);
    let engine: SignEngine;
    try {
      engine = signEngine(options.value('sign-type') ?? DEFAULT_SIGN_TYPE, trustFromEnvironment());
    } catch (error) {
      ctx.print('Sign-type not supported');
      throw error;
    }
    loadKeys(call, engine);
    try {
      verifyDelta(repo, id, engine);
      ctx.print('Verification OK');
    } catch (error) {
      ctx.print('Verification fails');
      throw error;
    }
  },
};
