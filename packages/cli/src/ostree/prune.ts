import { deleteCommit, prune, pruneDeltas, validateChecksum } from '@atomic/ostree';
import { formatSize } from './format.ts';
import { type Options, UsageError } from './options.ts';
import { parseDate } from './parse-date.ts';
import { COMMON, JSON_OPTION, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

/** The `BRANCH=DEPTH` values; undefined when there are none. */
function retainDepths(options: Options): Map<string, number> | undefined {
  const values = options.list('retain-branch-depth');
  if (values.length === 0) return undefined;
  return new Map(
    values.map((value) => {
      const equals = value.indexOf('=');
      if (equals < 0) throw new UsageError(`Invalid value ${value}, must specify BRANCH=DEPTH`);
      const depth = Number.parseInt(value.slice(equals + 1), 10);
      if (Number.isNaN(depth)) throw new UsageError(`Invalid depth ${value.slice(equals + 1)}`);
      return [value.slice(0, equals), depth];
    }),
  );
}

function youngerThan(options: Options): number | undefined {
  const text = options.value('keep-younger-than');
  if (text === undefined) return undefined;
  const seconds = parseDate(text);
  if (seconds === null) throw new UsageError(`Could not parse '${text}'`);
  return seconds;
}

export const verb: Verb = {
  args: '',
  summary: 'Search for unreachable objects',
  options: [
    REPO,
    { long: 'no-prune', text: "Only display unreachable objects; don't delete" },
    { long: 'refs-only', text: 'Only compute reachability via refs' },
    {
      long: 'depth',
      arg: 'DEPTH',
      int: true,
      text: 'Only traverse DEPTH parents for each commit (default: -1=infinite)',
    },
    { long: 'delete-commit', arg: 'COMMIT', text: 'Specify a commit to delete' },
    { long: 'keep-younger-than', arg: 'DATE', text: 'Prune all commits older than the specified date' },
    {
      long: 'static-deltas-only',
      text: 'Change the behavior of delete-commit and keep-younger-than to prune only static deltas',
    },
    { long: 'retain-branch-depth', arg: 'BRANCH=DEPTH', text: 'Additionally retain BRANCH=DEPTH commits' },
    { long: 'only-branch', arg: 'BRANCH', text: 'Only prune BRANCH (may be specified multiple times)' },
    { long: 'commit-only', text: 'Only traverse and delete commit objects.' },
    ...COMMON,
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: [
    'ostree prune --repo=repo --refs-only --depth=3',
    'ostree prune --repo=repo --keep-younger-than="30 days ago"',
  ],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const dryRun = options.flag('no-prune');
    const doomed = options.value('delete-commit');
    const deltasOnly = options.flag('static-deltas-only');
    const locking = { wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal };
    if (doomed !== undefined) {
      if (dryRun) throw new UsageError('Cannot specify both --delete-commit and --no-prune', true);
      validateChecksum(doomed);
      if (deltasOnly) await pruneDeltas(repo, doomed, locking);
      else await deleteCommit(repo, doomed, locking);
    } else if (deltasOnly) {
      throw new UsageError(
        '--static-deltas-only requires --delete-commit; see https://github.com/ostreedev/ostree/issues/1479',
      );
    }
    const branches = options.list('only-branch');
    const commitsOnly = options.flag('commit-only');
    const result = await prune(repo, {
      ...locking,
      refsOnly: options.flag('refs-only'),
      depth: options.int('depth'),
      retainDepths: retainDepths(options),
      keepYoungerThan: youngerThan(options),
      onlyBranches: branches.length === 0 ? undefined : branches,
      commitsOnly,
      dryRun,
      progress: ctx.progress,
    });
    if (ctx.json) {
      ctx.printJson(result);
      return;
    }
    const { total, deleted, freedBytes } = result;
    ctx.print(`Total ${commitsOnly ? '(commit only) ' : ''}objects: ${total}`);
    if (deleted === 0) ctx.print('No unreachable objects');
    else if (dryRun) ctx.print(`Would delete: ${deleted} objects, freeing ${formatSize(freedBytes)}`);
    else ctx.print(`Deleted ${deleted} objects, ${formatSize(freedBytes)} freed`);
  },
};
