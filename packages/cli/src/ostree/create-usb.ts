import { createUsb } from '@atomic/ostree';
import { collectionRefs } from './collection-args.ts';
import { UsageError } from './options.ts';
import { COMMON, NO_WAIT, openRepo, REPO, required, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'MOUNT-PATH COLLECTION-ID REF [COLLECTION-ID REF...]',
  summary: 'Copy the refs to a USB stick',
  options: [
    REPO,
    { long: 'disable-fsync', text: 'Do not invoke fsync()' },
    { long: 'destination-repo', arg: 'DEST', text: 'Use custom repository directory within the mount' },
    { long: 'commit', arg: 'COMMIT', text: 'Pull a specific commit (only works when a single ref is specified)' },
    ...COMMON,
    NO_WAIT,
  ],
  examples: ['ostree create-usb --repo=repo /run/media/usb org.example.Apps app/editor'],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const mount = required(args[0], 'A MOUNT-PATH must be specified');
    const refs = collectionRefs(args.slice(1));
    const commit = options.value('commit');
    if (commit !== undefined && refs.length > 1) {
      throw new UsageError(
        'The --commit option can only be used when a single COLLECTION-ID REF pair is specified',
        true,
      );
    }
    const destination = options.value('destination-repo');
    await createUsb(repo, mount, refs, {
      destination,
      commit,
      fsync: !options.flag('disable-fsync'),
      wait: ctx.wait,
      onWait: ctx.onWait,
      signal: ctx.signal,
      progress: ctx.progress,
    });
    const count = `${refs.length}/${refs.length}`;
    ctx.print(
      `Copied ${count} refs successfully from ‘${repo.path}’ to ‘${destination ?? '.ostree/repo'}’ repository in ‘${mount}’.`,
    );
  },
};
