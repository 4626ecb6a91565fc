import type { Checksum } from '@atomic/ostree';
import type { Deployment } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, type DbOptions, heading, openSource, type Source } from './common.ts';

interface DiffOptions extends DbOptions {
  format: string;
  changelogs?: boolean;
  fetch?: boolean;
  base?: boolean;
  advisories?: boolean;
}

const FORMATS = ['block', 'diff', 'json'];

/** Adds `atomic db diff`. */
export function register(db: Command): void {
  add(db, 'diff', 'show how the packages of two commits differ', [
    'atomic db diff                                   booted to pending, or rollback to booted',
    'atomic db diff REF                               booted to REF',
    'atomic db diff --repo=repo REF^ REF --changelogs',
    'atomic db diff rollback booted --format=json | jq .pkgdiff',
  ])
    .argument('[from]', 'commit (default: booted)')
    .argument('[to]', 'commit')
    .option('-F, --format <format>', 'block, diff (lines for scripts) or json', 'block')
    .option('-c, --changelogs', 'also print what the changelogs of upgraded packages say is new')
    .option('--fetch', 'with --changelogs: ask apt for those that a Debian tree was made without')
    .option('--base', 'compare the bases of deployments, without what is layered on them')
    .option('-a, --advisories', 'also print new security advisories')
    .action(action(run));
}

interface Side {
  name: string;
  checksum: Checksum;
}

async function run(
  ctx: Context,
  from: string | undefined,
  to: string | undefined,
  options: DiffOptions,
): Promise<void> {
  const { AtomicError } = await import('@atomic/ostree');
  const format = ctx.json ? 'json' : options.format;
  if (!FORMATS.includes(format)) {
    throw new AtomicError('usage', 'Format argument is invalid, pick one of: diff, block, json');
  }
  if (format === 'json' && options.changelogs) {
    throw new AtomicError('usage', 'json format and --changelogs not supported');
  }
  if (options.fetch && !options.changelogs) throw new AtomicError('usage', '--fetch goes with --changelogs');
  if (format === 'diff' && options.advisories) {
    throw new AtomicError('usage', 'diff format and --advisories not supported');
  }
  const source = await openSource(options);
  const [before, after] = await sides(source, from, to, options.base === true);
  const pkgdb = await import('@atomic/pkgdb');
  const { repo } = source;
  const diff = pkgdb.diffPackages(
    pkgdb.requireCommitPackages(repo, before.checksum),
    pkgdb.requireCommitPackages(repo, after.checksum),
  );
  const [old, young] = [pkgdb.commitView(repo, before.checksum), pkgdb.commitView(repo, after.checksum)];
  let fetched = new Map<string, string>();
  if (options.changelogs && options.fetch) {
    const { fetchAptChangelogs } = await import('@atomic/compose');
    fetched = await fetchAptChangelogs(pkgdb.changelogsMissing(young, diff.upgraded), { signal: ctx.signal });
  }
  const changes = () => pkgdb.readChanges(old, young, diff.upgraded, fetched);
  // What nobody listed can be told from changelogs, where the tree has them.
  const advisories = () => {
    const listed = pkgdb.newAdvisories(repo, before.checksum, after.checksum);
    return listed.length > 0 ? pkgdb.withReferences(listed, changes()) : pkgdb.changelogAdvisories(changes());
  };
  if (format === 'json') {
    ctx.printJson({
      'ostree-commit-from': before.checksum,
      'ostree-commit-to': after.checksum,
      pkgdiff: pkgdb.pkgDiffJson(diff),
      advisories: advisories().map(pkgdb.advisoryJson),
    });
    return;
  }
  ctx.print(`ostree diff commit from: ${heading(before.name, before.checksum)}`);
  ctx.print(`ostree diff commit to:   ${heading(after.name, after.checksum)}`);
  const lines =
    format === 'diff'
      ? pkgdb.scriptLines(diff)
      : options.changelogs
        ? pkgdb.changesLines(diff, changes())
        : pkgdb.blockLines(pkgdb.rpmDiffJson(diff));
  for (const line of lines) ctx.print(line);
  const security = options.advisories ? pkgdb.advisoryLines(advisories()) : [];
  if (security.length > 0)
    for (const line of ['', 'SecAdvisories:', ...security.map((text) => `    ${text}`)]) ctx.print(line);
}

/** The two commits that are meant; deployments of this machine where none, or one, is named. */
async function sides(
  source: Source,
  from: string | undefined,
  to: string | undefined,
  base: boolean,
): Promise<[before: Side, after: Side]> {
  const { AtomicError } = await import('@atomic/ostree');
  const deployed = (name: string, { base: below, checksum }: Deployment): Side => ({
    name,
    checksum: base ? below : checksum,
  });
  const named = (rev: string): Side => {
    const deployment = source.deployment(rev);
    return deployment === undefined ? { name: rev, checksum: source.resolve(rev) } : deployed(rev, deployment);
  };
  if (from !== undefined && to !== undefined) return [named(from), named(to)];
  const booted = source.kind('booted');
  if (booted === undefined) {
    throw new AtomicError('not-found', 'Not booted into any deployment', {
      hint: 'name two commits: atomic db diff FROM TO',
    });
  }
  if (from !== undefined) return [deployed('booted deployment', booted), named(from)];
  const pending = source.kind('pending');
  if (pending !== undefined) {
    return [deployed('booted deployment', booted), deployed('pending deployment', pending)];
  }
  const rollback = source.kind('rollback');
  if (rollback !== undefined) {
    return [deployed('rollback deployment', rollback), deployed('booted deployment', booted)];
  }
  throw new AtomicError('not-found', 'No pending or rollback deployment to diff against');
}
