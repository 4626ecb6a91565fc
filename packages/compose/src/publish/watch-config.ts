import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { parseDuration } from '@atomic/sysroot';
import { parse } from 'yaml';
import { z } from 'zod';

const command = z.array(z.string().min(1)).min(1);
const span = z.string().transform((text, ctx) => {
  try {
    return parseDuration(text, 'span');
  } catch (error) {
    ctx.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
});
const configSchema = z.strictObject({
  repo: z.string(),
  treefile: z.string(),
  cachedir: z.string().default('/var/cache/atomic/compose'),
  /** between two looks at the package repositories */
  interval: span.default(900),
  lockfiles: z.array(z.string()).default([]),
  /** a program that tries a commit; without success it is not published */
  'smoke-test': z
    .union([
      command,
      z.strictObject({ vm: z.strictObject({ size: z.string().default('4G'), timeout: span.default(600) }) }),
    ])
    .optional(),
  /** told what came of it, as JSON on its standard input */
  notify: command.optional(),
  deltas: z.number().int().min(0).max(100).default(0),
  'keep-last': z.number().int().min(1).optional(),
  'keep-younger': span.optional(),
  'gpg-sign': z.array(z.string()).default([]),
  'gpg-homedir': z.string().optional(),
  'sign-from-file': z.array(z.string()).default([]),
  'sign-type': z.string().default('ed25519'),
});

/** What a watch does; its paths are absolute, its spans seconds. */
export type WatchConfig = z.output<typeof configSchema>;

/** Reads the configuration of a watch; its paths are relative to it. Throws AtomicError 'invalid', 'not-found'. */
export function readWatchConfig(path: string): WatchConfig {
  let data: unknown;
  try {
    data = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new AtomicError(
      missing ? 'not-found' : 'invalid',
      `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
    );
  }
  const parsed = configSchema.safeParse(data);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new AtomicError('invalid', `${path}: '${issue?.path.join('.')}': ${issue?.message}`);
  }
  const config = parsed.data;
  const absolute = (one: string): string => resolve(dirname(path), one);
  const home = config['gpg-homedir'];
  return {
    ...config,
    repo: absolute(config.repo),
    treefile: absolute(config.treefile),
    cachedir: absolute(config.cachedir),
    lockfiles: config.lockfiles.map(absolute),
    'gpg-homedir': home === undefined ? undefined : absolute(home),
    'sign-from-file': config['sign-from-file'].map(absolute),
  };
}
