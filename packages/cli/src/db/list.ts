import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type DbOptions, heading, openSource } from './common.ts';

interface ListOptions extends DbOptions {
  advisories?: boolean;
}

/** Adds `atomic db list`. */
export function register(db: Command): void {
  add(db, 'list', 'list the packages of commits', [
    'atomic db list',
    "atomic db list booted pending 'linux-image*'",
    'atomic db list --repo=repo debian/12/amd64/minimal',
    'atomic db list --repo=repo --advisories REF    and the security fixes that are in it',
  ])
    .argument(
      '[revs-and-patterns...]',
      'commits (default: booted), then patterns (*, ?, [a-z]) of NAME or NAME-VERSION.ARCH',
    )
    .option('-a, --advisories', 'also list security advisories')
    .action(
      action(async (ctx, words: string[], options: ListOptions) => {
        const source = await openSource(options);
        const first = words.findIndex((word) => source.find(word) === undefined);
        const revs = first < 0 ? words : words.slice(0, first);
        const patterns = first < 0 ? [] : words.slice(first);
        const { AtomicError } = await import('@atomic/ostree');
        if (revs.length === 0) {
          if (source.kind('booted') === undefined) {
            const [word] = patterns;
            throw new AtomicError('usage', word === undefined ? 'no commit is named' : `no commit is named ${word}`, {
              hint: 'name a branch, a checksum or a deployment: atomic db list REV… [PATTERN…]',
            });
          }
          revs.push('booted');
        }
        const { advisoryLines, advisoryJson, evrOf, matchesPattern, nevraOf, parseAdvisories, requireCommitPackages } =
          await import('@atomic/pkgdb');
        const results = revs.map((rev) => {
          const checksum = source.resolve(rev);
          const all = requireCommitPackages(source.repo, checksum);
          return {
            rev,
            checksum,
            packages: all.filter((one) => patterns.length === 0 || patterns.some((text) => matchesPattern(one, text))),
            advisories: options.advisories ? parseAdvisories(source.repo.loadCommit(checksum).metadata) : [],
          };
        });
        if (ctx.json) {
          ctx.printJson(
            results.map(({ checksum, packages, advisories }) => ({
              'ostree-commit': checksum,
              packages: packages.map((one) => [one.name, evrOf(one), one.arch]),
              ...(options.advisories ? { advisories: advisories.map(advisoryJson) } : {}),
            })),
          );
          return;
        }
        for (const { rev, checksum, packages, advisories } of results) {
          ctx.print(`ostree commit: ${heading(rev, checksum)}`);
          for (const one of packages) ctx.print(` ${nevraOf(one)}`);
          const lines = advisoryLines(advisories);
          if (lines.length > 0)
            for (const line of ['', 'SecAdvisories:', ...lines.map((text) => `    ${text}`)]) ctx.print(line);
        }
      }),
    );
}
