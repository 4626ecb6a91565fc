import { AtomicError, type Checksum, type Repo } from '@atomic/ostree';
import type { Deployment, Sysroot, SysrootState } from '@atomic/sysroot';
import type { Command } from 'commander';

/** Options that every command of `atomic db` has. */
export interface DbOptions {
  repo?: string;
  sysroot?: string;
}

/** Adds a command to `atomic db`. */
export const add = (db: Command, name: string, summary: string, examples: string[]): Command =>
  db
    .command(name)
    .description(summary)
    .option('-r, --repo <path>', "the repository (default: the sysroot's)")
    .option('--sysroot <path>', 'use the sysroot at PATH (default: /)')
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);

/** Where commits come from: a repository, or a machine, which has deployments too. */
export class Source {
  readonly repo: Repo;
  readonly #sysroot: Sysroot | null;
  #state: SysrootState | undefined;

  constructor(repo: Repo, sysroot: Sysroot | null) {
    this.repo = repo;
    this.#sysroot = sysroot;
  }

  /** What is deployed on the machine; nothing for a repository by itself. */
  get deployments(): readonly Deployment[] {
    if (this.#sysroot === null) return [];
    this.#state ??= this.#sysroot.load();
    return this.#state.deployments;
  }

  /** The deployment of that kind. */
  kind(name: 'booted' | 'pending' | 'rollback'): Deployment | undefined {
    return this.deployments.find((one) => one[name]);
  }

  /** The deployment that is meant by a number, or by a word where no branch has that name. */
  deployment(rev: string): Deployment | undefined {
    if (/^\d{1,3}$/.test(rev)) return this.deployments[Number(rev)];
    const named = rev === 'booted' || rev === 'pending' || rev === 'rollback';
    return named && this.#commit(rev) === null ? this.kind(rev) : undefined;
  }

  #commit(rev: string): Checksum | null {
    try {
      return this.repo.tryResolveRev(rev);
    } catch (error) {
      // A pattern is no name of a branch.
      if (error instanceof AtomicError && error.code === 'invalid') return null;
      throw error;
    }
  }

  /** The commit that `rev` names; undefined when it names none. */
  find(rev: string): Checksum | undefined {
    return this.deployment(rev)?.checksum ?? this.#commit(rev) ?? undefined;
  }

  /** The same; throws `not-found` with the reason. */
  resolve(rev: string): Checksum {
    return this.find(rev) ?? this.repo.resolveRev(rev);
  }
}

/** Opens the repository or the machine that the options name; both: the machine's deployments, in that repository. */
export async function openSource(options: DbOptions): Promise<Source> {
  const { Repo } = await import('@atomic/ostree');
  const repo = options.repo === undefined ? null : Repo.open(options.repo);
  if (repo !== null && options.sysroot === undefined) return new Source(repo, null);
  const { openSysroot } = await import('../ostree/admin/sysroot.ts');
  const sysroot = await openSysroot(options.sysroot, 'atomic db');
  return new Source(repo ?? sysroot.repo, sysroot);
}

/** A commit as a heading names it. */
export const heading = (rev: string, checksum: Checksum): string =>
  rev === checksum ? checksum : `${rev} (${checksum})`;
