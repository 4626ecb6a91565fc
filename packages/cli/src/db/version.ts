import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type DbOptions, heading, openSource } from './common.ts';

/** Columns rpm-ostree gives it. */
const WIDTH = 66;

/** Adds `atomic db version`. */
export function register(db: Command): void {
  add(db, 'version', "show the version of commits' package databases: how many packages, and a checksum of which", [
    'atomic db version booted pending',
    'atomic db version --repo=repo debian/12/amd64/minimal',
  ])
    .argument('<revs...>', 'commits')
    .action(
      action(async (ctx, revs: string[], options: DbOptions) => {
        const source = await openSource(options);
        const { databaseVersion, requireCommitPackages } = await import('@atomic/pkgdb');
        const results = revs.map((rev) => {
          const checksum = source.resolve(rev);
          return { rev, checksum, rpmdbv: databaseVersion(requireCommitPackages(source.repo, checksum)) };
        });
        if (ctx.json) ctx.printJson(results.map(({ checksum, rpmdbv }) => ({ 'ostree-commit': checksum, rpmdbv })));
        else {
          for (const { rev, checksum, rpmdbv } of results) {
            ctx.print(`ostree commit: ${heading(rev, checksum)}`);
            ctx.print(`  rpmdbv is: ${rpmdbv.padStart(WIDTH)}`);
          }
        }
      }),
    );
}
