import {
  AtomicError,
  listAliases,
  listCollectionRefs,
  parseRefspec,
  type Repo,
  refreshSummary,
  writeAlias,
} from '@atomic/ostree';
import { UsageError } from './options.ts';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

/** What `--create=NEWREF` is refused for when it exists and `--force` was not given. */
function checkFree(repo: Repo, name: string, force: boolean): void {
  let existing: string | null = null;
  try {
    existing = repo.resolveRev(name, { local: true });
  } catch (error) {
    if (!(error instanceof AtomicError) || error.code !== 'not-found') throw error;
  }
  if (existing !== null && !force) {
    throw new AtomicError('exists', `--create specified but ref ${name} already exists`);
  }
}

function create(call: Call, repo: Repo, name: string, rev: string): void {
  const { options } = call;
  const force = options.flag('force');
  if (options.flag('collections')) {
    checkFree(repo, name, force);
    const checksum = repo.resolveRev(rev);
    const colon = name.indexOf(':');
    const collectionId = colon < 0 ? name : name.slice(0, colon);
    repo.setRef({ collectionId, ref: colon < 0 ? '' : name.slice(colon + 1) }, checksum);
    return;
  }
  if (!options.flag('alias')) {
    checkFree(repo, name, force);
    parseRefspec(name);
    repo.setRef(name, repo.resolveRev(rev));
    return;
  }
  if (!listAliases(repo).has(name)) checkFree(repo, name, force);
  const { remote } = parseRefspec(name);
  if (remote !== null) throw new UsageError(`Cannot create alias to remote ref: ${remote}`);
  if (!repo.listRefs().has(rev)) throw new UsageError(`Cannot create alias to non-existent ref: ${rev}`);
  writeAlias(repo, name, rev);
}

function remove(call: Call, repo: Repo, prefix: string): void {
  if (call.options.flag('collections')) {
    for (const ref of listCollectionRefs(repo, { collectionId: prefix })) repo.setRef(ref, null);
    return;
  }
  const aliases = listAliases(repo);
  const refs = call.options.flag('alias') ? listAliases(repo, prefix) : repo.listRefs({ prefix });
  for (const refspec of refs.keys()) {
    const { ref } = parseRefspec(refspec);
    for (const [alias, target] of aliases) {
      if (target === ref) throw new UsageError(`Ref '${ref}' has an active alias: '${alias}'`);
    }
    repo.setRef(refspec, null);
  }
}

function list(call: Call, repo: Repo, prefix: string | undefined): object[] {
  const { ctx, options } = call;
  const line = (text: string) => {
    if (!ctx.json) ctx.print(text);
  };
  const revision = options.flag('revision');
  if (options.flag('collections')) {
    return listCollectionRefs(repo, { collectionId: prefix }).map(({ collectionId, ref, checksum }) => {
      line(`(${collectionId}, ${ref})${revision ? `\t${checksum}` : ''}`);
      return { collection: collectionId, ref, checksum };
    });
  }
  if (options.flag('alias')) {
    return [...listAliases(repo, prefix)].map(([ref, target]) => {
      line(`${ref} -> ${target}`);
      return { ref, target };
    });
  }
  return [...repo.listRefs({ prefix, cut: !options.flag('list') && !ctx.json })].map(([ref, checksum]) => {
    line(revision ? `${ref}\t${checksum}` : ref);
    return { ref, checksum };
  });
}

export const verb: Verb = {
  args: '[PREFIX]',
  summary: 'List refs',
  options: [
    REPO,
    { long: 'delete', text: 'Delete refs which match PREFIX, rather than listing them' },
    { long: 'list', text: 'Do not remove the prefix from the refs' },
    { long: 'revision', short: 'r', text: 'Show revisions in listing' },
    { long: 'alias', short: 'A', text: 'If used with --create, create an alias, otherwise just list aliases' },
    { long: 'create', arg: 'NEWREF', text: 'Create a new ref for an existing commit' },
    { long: 'collections', short: 'c', text: 'Enable listing collection IDs for refs' },
    { long: 'force', text: 'Overwrite existing refs when creating' },
    ...COMMON,
    JSON_OPTION,
  ],
  examples: ['ostree refs --repo=repo', 'ostree refs --repo=repo --create=stable main'],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const name = options.value('create');
    const deleting = options.flag('delete');
    if (name !== undefined && args.length > 1) {
      throw new UsageError('You must specify only 1 existing ref when creating a new ref');
    }
    if (args.length === 0) {
      if (deleting) throw new UsageError('At least one PREFIX is required when deleting refs');
      if (name !== undefined) throw new UsageError('You must specify a revision when creating a new ref');
    }
    if (deleting || name !== undefined) {
      for (const arg of args) {
        if (name !== undefined) create(call, repo, name, arg);
        else remove(call, repo, arg);
      }

      await refreshSummary(repo, { wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal });
      return;
    }
    const found = (args.length === 0 ? [undefined] : args).flatMap((prefix) => list(call, repo, prefix));
    if (ctx.json) ctx.printJson(found);
  },
};
