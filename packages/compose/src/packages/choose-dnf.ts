import { arch } from 'node:os';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import type { ManagerSettings } from '../choose-manager.ts';
import { baseArchitecture } from '../treefile/architecture.ts';
import type { RepoSpec, Treefile } from '../treefile/treefile.ts';
import { Dnf } from './dnf.ts';

/**
 * The package manager of a treefile for RPMs: its repositories are sections of *.repo files beside it; without any,
 * those that are enabled there and on this machine, or in `sourceRoot`.
 */
export function chooseDnf(
  treefile: Treefile,
  cachedir: string,
  options: ManagerSettings & { where: (name: string) => string | undefined },
): Dnf {
  if (treefile.machine !== arch())
    throw new AtomicError('unsupported', `a tree of RPMs for ${treefile.machine} is composed on such a machine`, {
      hint: "trees of Debian's packages are composed for other architectures as well",
    });
  const ids = (repos: readonly RepoSpec[]): string[] => repos.filter((repo) => typeof repo === 'string');
  const beside = [...new Set(treefile.files.map((file) => dirname(file)))];
  const named = treefile.repos.length > 0;
  const root = options.sourceRoot;
  return new Dnf({
    cachedir,
    // With another root its repositories can be named as well; this machine's are not asked for.
    reposdir: named && root === undefined ? beside : [...beside, join(root ?? '/', 'etc/yum.repos.d')],
    sourceRoot: root,
    proxy: options.proxy,
    repos: named ? ids(treefile.repos) : undefined,
    lockRepos: options.lockfileRepos === true ? ids(treefile.lockfileRepos) : [],
    architecture: baseArchitecture('rpm'),
    releasever: treefile.releasever,
    platform: treefile.platformModule,
    vars: treefile.repovars,
    where: options.where,
  });
}
