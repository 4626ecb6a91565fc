import { existsSync, readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';

export interface RelabelOptions {
  signal?: AbortSignal | undefined;
  /** Told the policy's name before anything is labelled. */
  onPolicy?: ((name: string) => void) | undefined;
  /** Told of each file that was given a label. */
  onLabel?: ((file: string, place: string, label: string) => void) | undefined;
}

/** The name of the SELinux policy a tree has, from its own configuration; null for a tree without. */
export function selinuxPolicyName(tree: string): string | null {
  const config = [`${tree}/etc/selinux/config`, `${tree}/usr/etc/selinux/config`].find((path) => existsSync(path));
  if (config === undefined) return null;
  return /^\s*SELINUXTYPE=\s*(\S+)/m.exec(readFileSync(config, 'utf8'))?.[1] ?? null;
}

/** Gives files of a tree that have none the label its policy wants, under `path`, which is `prefix` of the tree. */
export async function relabel(
  tree: string,
  _path: string,
  _prefix: string,
  _options: RelabelOptions = {},
): Promise<string | null> {
  const policy = selinuxPolicyName(tree);
  if (policy === null) return null;
  throw new AtomicError('unsupported', `labels of the SELinux policy '${policy}' cannot be looked up`);
}
