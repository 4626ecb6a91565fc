import { checkout } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, JSON_OPTION, openRepo, REPO, required, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'COMMIT [DESTINATION]',
  summary: 'Check out a commit into a filesystem tree',
  options: [
    REPO,
    { long: 'user-mode', short: 'U', text: 'Do not change file ownership or initialize extended attributes' },
    { long: 'disable-cache', text: 'Do not update or use the internal repository uncompressed object cache' },
    { long: 'subpath', arg: 'PATH', text: 'Checkout sub-directory PATH' },
    { long: 'union', text: 'Keep existing directories, overwrite existing files' },
    { long: 'union-add', text: 'Keep existing files/directories, only add new' },
    {
      long: 'union-identical',
      text: 'When layering checkouts, error out if a file would be replaced with a different version, but add new files and directories',
    },
    { long: 'fsync', arg: 'POLICY', text: 'Specify how to invoke fsync()' },
    { long: 'require-hardlinks', short: 'H', text: 'Do not fall back to full copies if hardlinking fails' },
    { long: 'force-copy', short: 'C', text: 'Never hardlink (but may reflink if available)' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: ['ostree checkout --repo=repo main tree', 'ostree checkout --repo=repo -U --subpath=/usr/etc main etc'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    const [first, destination] = call.args;
    const rev = required(first, 'COMMIT must be specified');
    const chosen = ['union', 'union-add', 'union-identical'].filter((name) => options.flag(name));
    if (chosen.length > 1) throw new UsageError(`Cannot specify both --${chosen[0]} and --${chosen[1]}`);
    if (options.flag('require-hardlinks') && options.flag('force-copy')) {
      throw new UsageError('Cannot specify both --require-hardlinks and --force-copy');
    }
    if (options.flag('union-identical') && !options.flag('require-hardlinks')) {
      throw new UsageError('--union-identical requires --require-hardlinks');
    }
    options.boolean('fsync');
    const union = options.flag('union')
      ? 'overwrite'
      : options.flag('union-add')
        ? 'add'
        : options.flag('union-identical')
          ? 'identical'
          : 'none';
    const result = await checkout(repo, rev, destination ?? rev, {
      user: options.flag('user-mode'),
      subpath: options.value('subpath'),
      union,
      requireHardlinks: options.flag('require-hardlinks'),
      forceCopy: options.flag('force-copy'),
      signal: ctx.signal,
      progress: ctx.progress,
    });
    if (ctx.json) ctx.printJson(result);
  },
};
