import { closeSync, lstatSync, openSync, readdirSync } from 'node:fs';
import { lgetxattr, lsetxattr } from '@atomic/linux';
import { openPolicy, type Policy } from '@atomic/ostree';

const ATTRIBUTE = 'security.selinux';

export interface RelabelOptions {
  /** Leave files alone that have a label already. */
  keepExisting?: boolean | undefined;
  signal?: AbortSignal | undefined;
  /** Told the policy's name before anything is labelled. */
  onPolicy?: ((name: string) => void) | undefined;
  /** Told of each file that was given a label. */
  onLabel?: ((file: string, place: string, label: string) => void) | undefined;
}

/** Gives a file and all below it the labels a policy wants; `place` is where the file is in the root it labels. */
export function relabelTree(policy: Policy, file: string, place: string, options: RelabelOptions = {}): void {
  options.signal?.throwIfAborted();
  const stat = lstatSync(file);
  if (options.keepExisting !== true || lgetxattr(file, ATTRIBUTE) === null) {
    const label = policy.label(place, stat.mode);
    if (label !== null) {
      lsetxattr(file, ATTRIBUTE, Buffer.from(`${label}\0`));
      options.onLabel?.(file, place, label);
    }
  }
  if (!stat.isDirectory()) return;
  const prefix = place === '/' ? '' : place;
  for (const name of readdirSync(file)) relabelTree(policy, `${file}/${name}`, `${prefix}/${name}`, options);
}

/**
 * Gives files under `path`, which is `prefix` of a tree, the labels of that tree's own policy where they have none
 * (`ostree admin instutil selinux-ensure-labeled`). Returns the policy's name, or null for a tree without a policy.
 */
export function ensureLabeled(tree: string, path: string, prefix: string, options: RelabelOptions = {}): string | null {
  using policy = openPolicy(tree);
  if (policy === null) return null;
  options.onPolicy?.(policy.name);
  relabelTree(policy, path, `/${prefix.replace(/^\/+/, '')}`, { ...options, keepExisting: true });
  return policy.name;
}

const STAMP = '.ostree-selabeled';

/** Labels a stateroot's /var once, when its first tree with a policy is deployed; a stamp, as stock's, remembers it. */
export function labelVar(policy: Policy, path: string, log?: (message: string) => void): void {
  if (lstatSync(`${path}/${STAMP}`, { throwIfNoEntry: false }) !== undefined) return;
  log?.(`Relabeling /var (no stamp file 'var/${STAMP}' found)`);
  relabelTree(policy, path, '/var');
  closeSync(openSync(`${path}/${STAMP}`, 'w', 0o644));
  relabelTree(policy, `${path}/${STAMP}`, `/var/${STAMP}`);
}
