import {
  AtomicError,
  deleteDelta,
  deltaName,
  listDeltaIndexes,
  listDeltas,
  parseDeltaName,
  reindexDeltas,
} from '@atomic/ostree';
import { type Call, COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

export const list: Verb = {
  args: '',
  summary: 'List static delta files',
  options: [REPO, ...COMMON, JSON_OPTION],
  examples: ['ostree static-delta list --repo=repo'],
  async run(call) {
    const { ctx } = call;
    const deltas = listDeltas(openRepo(call));
    if (ctx.json) ctx.printJson(deltas);
    else if (deltas.length === 0) ctx.print('(No static deltas)');
    else for (const delta of deltas) ctx.print(deltaName(delta));
  },
};

export const indexes: Verb = {
  args: '',
  summary: 'List static delta indexes',
  options: [REPO, ...COMMON, JSON_OPTION],
  examples: ['ostree static-delta indexes --repo=repo'],
  async run(call) {
    const { ctx } = call;
    const found = listDeltaIndexes(openRepo(call));
    if (ctx.json) ctx.printJson(found);
    else if (found.length === 0) ctx.print('(No static deltas indexes)');
    else for (const checksum of found) ctx.print(checksum);
  },
};

export const reindex: Verb = {
  args: '',
  summary: 'Regenerate static delta indexes',
  options: [REPO, { long: 'to', arg: 'REV', text: 'Only update delta index to revision REV' }, ...COMMON],
  examples: ['ostree static-delta reindex --repo=repo'],
  async run(call) {
    const { ctx, options } = call;
    const repo = openRepo(call);
    // Against a prune at the same time.
    using _lock = await repo.lock('shared', { signal: ctx.signal, onWait: ctx.onWait });
    reindexDeltas(repo, { to: options.value('to') });
  },
};

export const remove: Verb = {
  args: 'DELTA',
  summary: 'Remove a delta',
  options: [REPO, ...COMMON],
  examples: ['ostree static-delta delete --repo=repo FROM-TO'],
  async run(call) {
    const repo = openRepo(call);
    deleteDelta(repo, parseDeltaName(deltaArgument(call)));
  },
};

/** The delta a call is about. */
export function deltaArgument(call: Call): string {
  const [id] = call.args;
  if (id === undefined) throw new AtomicError('usage', 'DELTA must be specified');
  return id;
}
