import type { Command } from 'commander';
import { register as diff } from './diff.ts';
import { register as list } from './list.ts';
import { register as version } from './version.ts';

/** `atomic db …`: names, options and output as `rpm-ostree db` has them. */
export function register(program: Command): void {
  const db = program.command('db').description('which packages are in commits, and how they differ (dpkg and rpm)');
  db.addHelpText(
    'after',
    `
A commit is named by its branch, its checksum, or as a deployment of this machine: booted, pending, rollback, or its
number in \`atomic host status\`. Nothing is checked out, and no package manager is needed.

Examples:
  atomic db diff                              what the next version changes, or what the last one did
  atomic db diff --changelogs                 and what their changelogs say of it
  atomic db diff --repo=repo REF^ REF         between two commits of a repository
  atomic db list booted 'lib*'                packages of the running system by name
  atomic db version --repo=repo REF           one line that is equal where the packages are`,
  );
  for (const verb of [list, diff, version]) verb(db);
}
