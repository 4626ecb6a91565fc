import { AtomicError, type FsckEvent, fsck } from '@atomic/ostree';
import { type Call, COMMON, JSON_OPTION, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

/** Says what happens as stock says it: stages on standard output, problems on standard error. */
function teller({ ctx, options }: Call): (event: FsckEvent) => void {
  const quiet = options.flag('quiet') || ctx.json;
  const stage = (text: string) => {
    if (!quiet) ctx.print(text);
  };
  return (event) => {
    switch (event.kind) {
      case 'refs':
        return stage('Validating refs...');
      case 'collections':
        return stage('Validating refs in collections...');
      case 'commits':
        return stage('Enumerating commits...');
      case 'content':
        return stage(`Verifying content integrity of ${event.commits} commit objects...`);
      case 'problem':
        return ctx.warn(event.problem.message);
      case 'partial':
        return ctx.warn(`Marking commit as partial: ${event.commit}`);
      case 'tombstone':
        if (!ctx.json) ctx.print(`Adding tombstone for commit ${event.commit}`);
    }
  };
}

export const verb: Verb = {
  args: '',
  summary: 'Check the repository for consistency',
  options: [
    REPO,
    { long: 'add-tombstones', text: 'Add tombstones for missing commits' },
    { long: 'quiet', short: 'q', text: 'Only print error messages' },
    { long: 'all', short: 'a', text: "Don't stop on first error" },
    { long: 'delete', text: 'Remove corrupted objects' },
    { long: 'verify-bindings', text: 'Verify ref bindings' },
    { long: 'verify-back-refs', text: 'Verify back-references (implies --verify-bindings)' },
    ...COMMON,
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: ['ostree fsck --repo=repo', 'ostree fsck --repo=repo --all --delete'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const addTombstones = options.flag('add-tombstones');
    const result = await fsck(repo, {
      stop: !options.flag('all'),
      delete: options.flag('delete'),
      mark: true,
      addTombstones,
      verifyBindings: options.flag('verify-bindings'),
      verifyBackRefs: options.flag('verify-back-refs'),
      onEvent: teller(call),
      wait: ctx.wait,
      onWait: ctx.onWait,
      signal: ctx.signal,
      progress: ctx.progress,
    });
    const { commits, objects, partial, fsckPartial, problems, fatal } = result;
    if (ctx.json) ctx.printJson({ commits, objects, partial, problems });
    if (fatal !== null) throw new AtomicError('corrupt', fatal);
    if (!ctx.json && !addTombstones && partial > 0) ctx.print(`${partial} partial commits not verified`);
    if (problems.length > 0) throw new AtomicError('corrupt', 'Repository corruption encountered');
    if (fsckPartial > 0) {
      throw new AtomicError('corrupt', `${partial} partial commits from fsck-detected corruption`, {
        hint: 'pull them again to have the missing objects fetched',
      });
    }
    if (!ctx.json) ctx.print(`object fsck of ${commits} commits completed successfully - no errors found.`);
    return 0;
  },
};
