import { AtomicError, checkConfig } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { type Call, COMMON, openRepo, REPO, type Verb } from './verb.ts';

function splitKey(call: Call, key: string): { group: string; key: string } {
  const group = call.options.value('group');
  if (group !== undefined) return { group, key };
  const dot = key.indexOf('.');
  if (dot < 0) throw new UsageError('Key must be of the form "sectionname.keyname"');
  return { group: key.slice(0, dot), key: key.slice(dot + 1) };
}

/** How many words an operation takes, and stock's complaints about too few of them, without and with `--group`. */
const OPERATIONS: Record<string, { words: number; few: string; fewInGroup: string }> = {
  get: { words: 1, few: 'KEY must be specified', fewInGroup: 'Group name and key must be specified' },
  set: { words: 2, few: 'KEY and VALUE must be specified', fewInGroup: 'GROUP name, KEY and VALUE must be specified' },
  unset: { words: 1, few: 'KEY must be specified', fewInGroup: 'Group name and key must be specified' },
};

export const verb: Verb = {
  args: '(get KEY|set KEY VALUE|unset KEY)',
  summary: 'Change repo configuration settings',
  options: [REPO, { long: 'group', arg: '', text: 'Group name' }, ...COMMON],
  examples: ['ostree config --repo=repo get core.mode', 'ostree config --repo=repo set core.fsync false'],
  async run(call) {
    const repo = openRepo(call);
    const [operation, ...words] = call.args;
    if (operation === undefined) throw new UsageError('OPERATION must be specified', true);
    const known = Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined;
    if (words.length > (known?.words ?? 1)) throw new UsageError('Too many arguments given', true);
    if (known === undefined) throw new UsageError(`Unknown operation ${operation}`);
    const [name, value] = words;
    if (name === undefined || words.length < known.words) {
      throw new UsageError(call.options.value('group') === undefined ? known.few : known.fewInGroup);
    }
    const { group, key } = splitKey(call, name);
    const { config } = repo;
    if (operation === 'get') {
      const found = config.get(group, key);
      if (found !== undefined) call.ctx.print(found);
      else if (!config.groups().includes(group))
        throw new AtomicError('not-found', `Key file does not have group “${group}”`);
      else throw new AtomicError('not-found', `Key file does not have key “${key}” in group “${group}”`);
    } else if (operation === 'set') {
      config.set(group, key, value ?? '');
      checkConfig(config);
      repo.saveConfig();
    } else if (config.removeKey(group, key)) repo.saveConfig();
  },
};
