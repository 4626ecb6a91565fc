import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from '../checkout/checkout.ts';
import { AtomicError } from '../error.ts';
import type { Repo } from '../repo/repo.ts';
import { openPolicy, type Policy } from './policy.ts';

/** The SELinux policy of a commit's tree, as {@link openPolicy} finds it in a folder; null when it has none. */
export async function openCommitPolicy(repo: Repo, rev: string): Promise<Policy | null> {
  const root = mkdtempSync(join(tmpdir(), 'ostree-selinux-'));
  const remove = () => rmSync(root, { recursive: true, force: true });
  try {
    mkdirSync(join(root, 'etc'));
    for (const subpath of ['/etc/selinux', '/usr/etc/selinux']) {
      try {
        await checkout(repo, rev, join(root, 'etc/selinux'), { subpath, user: true });
        break;
      } catch (error) {
        if (!(error instanceof AtomicError) || error.code !== 'not-found') throw error;
      }
    }
    const policy = openPolicy(root);
    if (policy === null) {
      remove();
      return null;
    }
    return {
      name: policy.name,
      label: policy.label,
      [Symbol.dispose]: () => {
        policy[Symbol.dispose]();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
