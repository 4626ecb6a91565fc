import { AtomicError, parseRefspec, type Repo } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

/** The refs a prefix names, with what `refs PREFIX` prints for each: the ref itself, or what follows the prefix. */
function matching(repo: Repo, prefix: string | undefined): { refspec: string; rest: string; checksum: string }[] {
  const found: { refspec: string; rest: string; checksum: string }[] = [];
  for (const [refspec, checksum] of repo.listRefs({ remotes: true })) {
    if (prefix === undefined || refspec === prefix) {
      found.push({ refspec, rest: prefix === undefined ? refspec : refspec.slice(refspec.indexOf(':') + 1), checksum });
    } else if (prefix.endsWith(':') ? refspec.startsWith(prefix) : refspec.startsWith(`${prefix}/`)) {
      const remote = prefix.slice(0, prefix.indexOf(':') + 1);
      const rest = prefix.endsWith(':') ? refspec : `${remote}${refspec.slice(prefix.length + 1)}`;
      found.push({ refspec, rest, checksum });
    }
  }
  return found;
}

function create(call: Call, repo: Repo, name: string): void {
  const rev = call.args[0];
  if (rev === undefined) throw new UsageError('You must specify a revision when creating a new ref');
  parseRefspec(name);
  if (!call.options.flag('force') && repo.listRefs({ remotes: true }).has(name)) {
    throw new AtomicError('exists', `--create specified but ref ${name} already exists`);
  }
  repo.setRef(name, repo.resolveRev(rev));
}

export const verb: Verb = {
  args: '[PREFIX]',
  summary: 'List refs',
  options: [
    REPO,
    { long: 'delete', text: 'Delete refs which match PREFIX, rather than listing them' },
    { long: 'list', text: 'Do not remove the prefix from the refs' },
    { long: 'create', arg: 'NEWREF', text: 'Create a new ref for an existing commit' },
    { long: 'force', text: 'Overwrite existing refs when creating' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: ['ostree refs --repo=repo', 'ostree refs --repo=repo --create=stable main'],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const name = options.value('create');
    if (options.flag('delete')) {
      if (args.length === 0) throw new UsageError('At least one PREFIX is required when deleting refs');
      for (const prefix of args) for (const { refspec } of matching(repo, prefix)) repo.setRef(refspec, null);
      return;
    }
    if (name !== undefined) {
      create(call, repo, name);
      return;
    }
    const found = (args.length === 0 ? [undefined] : args).flatMap((prefix) => matching(repo, prefix));
    if (ctx.json) ctx.printJson(found.map(({ refspec, checksum }) => ({ ref: refspec, checksum })));
    else for (const { refspec, rest } of found) ctx.print(options.flag('list') ? refspec : rest);
  },
};
