import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FileLock, type LockOptions } from '@atomic/linux';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { z } from 'zod';
import { readSettings } from '../registries/load-registries.ts';
import { parsePolicy, type Requirement } from '../rules/policy-schema.ts';
import { parseStrictJson } from '../rules/strict-json.ts';

// The file is edited as it stands: requirements of a kind that only newer tools know stay as they are.
const scopes = z.record(z.string(), z.unknown());
const raw = z.looseObject({ default: z.unknown(), transports: z.record(z.string(), scopes).optional() });
type RawPolicy = z.output<typeof raw>;

/** What a new policy.json begins with: as without one, nothing is kept out that was let in before. */
const FIRST: RawPolicy = { default: [{ type: 'insecureAcceptAnything' }], transports: {} };

/** Holds a lock while `work` edits the trust settings beside a policy, so that two editors do not undo each other. */
export async function withTrustLock<T>(policyFile: string, lock: LockOptions, work: () => T): Promise<T> {
  mkdirSync(dirname(policyFile), { recursive: true, mode: 0o755 });
  using _held = await FileLock.acquire(join(dirname(policyFile), '.policy.lock'), 'exclusive', lock);
  return work();
}

function edit(file: string, change: (policy: RawPolicy) => void): boolean {
  const before = readSettings(file);
  const result = raw.safeParse(before === undefined ? structuredClone(FIRST) : parseStrictJson(before, file));
  if (!result.success) {
    throw new AtomicError('invalid', `${file} is not a policy: ${result.error.issues[0]?.message}`, {
      hint: 'mend it by hand, or begin anew: atomic trust reset',
    });
  }
  const indent = /^\{\s*\n([ \t]+)"/.exec(before ?? '')?.[1] ?? '    ';
  const text = (): string => `${JSON.stringify(result.data, null, indent)}\n`;
  const old = text();
  change(result.data);
  if (before !== undefined && text() === old) return false;
  const understood = before === undefined || isUnderstood(before, file);
  // What could be read before must be readable after.
  if (understood) parsePolicy(text(), file);
  replaceFile(file, text(), { mode: 0o644 });
  return true;
}

function isUnderstood(text: string, file: string): boolean {
  try {
    parsePolicy(text, file);
    return true;
  } catch {
    return false;
  }
}

/** A requirement as it is written. */
export type RawRequirement = Requirement | { readonly type: string; readonly [member: string]: unknown };

/** Sets what a scope requires; false when it says so already. Refuses to replace something else without `force`. */
export function setScope(
  file: string,
  transport: string,
  scope: string,
  requirements: readonly RawRequirement[],
  force: boolean,
): boolean {
  return edit(file, (policy) => {
    policy.transports ??= {};
    const scopes = Object.hasOwn(policy.transports, transport) ? policy.transports[transport] : undefined;
    const old = scopes !== undefined && Object.hasOwn(scopes, scope) ? scopes[scope] : undefined;
    const same = JSON.stringify(old) === JSON.stringify(requirements);
    if (old !== undefined && !same && !force) {
      throw new AtomicError('exists', `${file} has a rule for ${scope || `all of ${transport}:`} already`, {
        hint: 'add --force to replace it; atomic trust show tells what it is',
      });
    }
    policy.transports[transport] = { ...scopes, [scope]: requirements };
  });
}

/** Takes a scope's rule away; false when there is none. */
export function deleteScope(file: string, transport: string, scope: string): boolean {
  if (readSettings(file) === undefined) return false;
  return edit(file, ({ transports = {} }) => {
    const scopes = Object.hasOwn(transports, transport) ? transports[transport] : undefined;
    if (scopes === undefined) return;
    delete scopes[scope];
    if (Object.keys(scopes).length === 0) delete transports[transport];
  });
}

/** Sets what holds for all that nothing else is said about. */
export function setDefault(file: string, type: 'insecureAcceptAnything' | 'reject'): boolean {
  return edit(file, (policy) => {
    policy.default = [{ type }];
  });
}

/** Begins anew: a policy that accepts everything, or nothing. The old file is kept as FILE.old, whose path it returns. */
export function resetPolicy(file: string, type: 'insecureAcceptAnything' | 'reject'): string | undefined {
  const before = readSettings(file);
  const kept = `${file}.old`;
  if (before !== undefined) replaceFile(kept, before, { mode: 0o644 });
  replaceFile(file, `${JSON.stringify({ ...FIRST, default: [{ type }] }, null, 4)}\n`, { mode: 0o644 });
  return before === undefined ? undefined : kept;
}
