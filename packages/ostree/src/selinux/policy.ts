import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errnoCode, FileContexts, SelabelError } from '@atomic/linux';
import { AtomicError } from '../error.ts';

/** The SELinux policy of a root file system, as far as it says how files are labelled. */
export interface Policy extends Disposable {
  /** `SELINUXTYPE` of its configuration: `default`, `targeted`, … */
  name: string;
  /** The label for an absolute path in the root and a mode with type bits, or null for none. */
  label(path: string, mode: number): string | null;
}

/** `SELINUX` and `SELINUXTYPE` of an etc/selinux/config; later lines win (selinux_config(5)). */
export function parseSelinuxConfig(text: string): { enabled: boolean; type: string | null } {
  let enabled = false;
  let type: string | null = null;
  for (const line of text.split('\n')) {
    if (line.startsWith('SELINUXTYPE=')) type = line.slice('SELINUXTYPE='.length).trim();
    else if (/^SELINUX=(enforcing|permissive)/i.test(line)) enabled = true;
  }
  return { enabled, type };
}

/**
 * Opens the policy in `etc/selinux` (else `usr/etc/selinux`) of a root folder; null when that has none, or has it
 * switched off. Labels come from the system's libselinux; throws `unsupported` without it, `invalid` for a policy it
 * cannot read.
 */
export function openPolicy(root: string): Policy | null {
  const folder = ['etc/selinux', 'usr/etc/selinux'].map((path) => join(resolve(root), path)).find(existsSync);
  if (folder === undefined) return null;
  let text: string;
  try {
    text = readFileSync(join(folder, 'config'), 'utf8');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
  const { enabled, type } = parseSelinuxConfig(text);
  if (!enabled || type === null) return null;
  if (type === '' || type.includes('/') || type.startsWith('.'))
    throw new AtomicError('invalid', `${folder}/config: '${type}' is no name of a policy`);
  const contexts = openContexts(join(folder, type, 'contexts/files/file_contexts'));
  return {
    name: type,
    // Nobody ships a label for it, but it must not get the default one: the kernel's would be hidden.
    label: (path, mode) => contexts.lookup(path === '/proc' ? '/mnt' : path, mode),
    [Symbol.dispose]: () => contexts[Symbol.dispose](),
  };
}

function openContexts(path: string): FileContexts {
  try {
    return FileContexts.open(path);
  } catch (error) {
    if (!(error instanceof SelabelError)) throw error;
    throw new AtomicError(error.missing ? 'unsupported' : 'invalid', `SELinux policy: ${error.message}`, {
      hint: error.missing ? 'install libselinux1' : undefined,
      cause: error,
    });
  }
}
