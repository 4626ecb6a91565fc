import { parseRepoMode, Repo, validateCollectionId } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, REPO, type Verb } from './verb.ts';

export const verb: Verb = {
  args: '',
  summary: 'Initialize a new empty repository',
  options: [
    REPO,
    { long: 'mode', arg: '', text: 'Initialize repository in given mode (bare, bare-user, bare-user-only, archive)' },
    {
      long: 'collection-id',
      arg: 'COLLECTION-ID',
      text: 'Globally unique ID for this repository as an collection of refs for redistribution to other repositories',
    },
    ...COMMON,
  ],
  examples: ['ostree init --repo=repo --mode=archive'],
  async run({ options }) {
    const path = options.value('repo');
    if (path === undefined) throw new UsageError('Command requires a --repo argument', true);
    const mode = parseRepoMode(options.value('mode') ?? 'bare');
    const collectionId = options.value('collection-id');
    if (collectionId !== undefined) validateCollectionId(collectionId);
    Repo.create(path, collectionId === undefined ? { mode } : { mode, collectionId });
  },
};
