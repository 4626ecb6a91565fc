import { type DiffSide, diffStats, diffTrees, type TreeDiff } from '@atomic/ostree';
import { formatSize } from './format.ts';
import { UsageError } from './options.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

const side = (text: string): DiffSide =>
  text.startsWith('/') || text.startsWith('./') ? { dir: text.replace(/(?<=.)\/+$/, '') } : { rev: text };

/** Owners below 0 mean none, as in stock, whose default is -1. */
function owner(call: Call, name: string): number | undefined {
  const id = call.options.int(name);
  return id === undefined || id < 0 ? undefined : id;
}

async function run(call: Call): Promise<void> {
  const { ctx, options } = call;
  const repo = openRepo(call);
  const [first, second] = call.args;
  if (first === undefined) throw new UsageError('REV must be specified', true);
  const from = second === undefined ? `${first}^` : first;
  const to = second ?? first;
  const wantsStats = options.flag('stats');
  const wantsDiff = options.flag('fs-diff') || !wantsStats;
  let diff: TreeDiff | undefined;
  if (wantsDiff) {
    diff = await diffTrees(repo, side(from), side(to), {
      ignoreXattrs: options.flag('no-xattrs'),
      uid: owner(call, 'owner-uid'),
      gid: owner(call, 'owner-gid'),
      signal: ctx.signal,
    });
    if (!ctx.json) {
      for (const path of diff.modified) ctx.print(`M    ${path}`);
      for (const path of diff.removed) ctx.print(`D    ${path}`);
      for (const path of diff.added) ctx.print(`A    ${path}`);
    }
  }
  const stats = wantsStats ? diffStats(repo, from, to) : undefined;
  if (ctx.json) {
    ctx.printJson({ ...diff, ...(stats === undefined ? {} : { stats }) });
    return;
  }
  if (stats === undefined) return;
  ctx.print(`[A] Object Count: ${stats.objects[0]}`);
  ctx.print(`[B] Object Count: ${stats.objects[1]}`);
  ctx.print(`Common Object Count: ${stats.common}`);
  ctx.print(`Common Object Size: ${formatSize(stats.commonBytes)}`);
}

export const verb: Verb = {
  args: 'REV_OR_DIR REV_OR_DIR',
  summary: 'Compare directory TARGETDIR against revision REV',
  options: [
    REPO,
    { long: 'stats', text: 'Print various statistics' },
    { long: 'fs-diff', text: 'Print filesystem diff' },
    { long: 'no-xattrs', text: 'Skip output of extended attributes' },
    { long: 'owner-uid', arg: 'UID', int: true, text: 'Use file ownership user id for local files' },
    { long: 'owner-gid', arg: 'GID', int: true, text: 'Use file ownership group id for local files' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: [
    'ostree diff --repo=repo main',
    'ostree diff --repo=repo main^ main',
    'ostree diff --repo=repo main ./tree --owner-uid=0 --owner-gid=0',
  ],
  run,
};
