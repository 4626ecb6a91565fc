import type { Group } from '../groups.ts';

/** What the original command had at its top without listing it, and a second name. */
const OLD_NAMES = new Map<string, readonly string[]>([
  ['umount', ['unmount']],
  ['upload', ['push']],
  ['verify', ['images', 'verify']],
  ['version', ['images', 'version']],
]);

/** Its options before the verb, as the name an option of the verb has with us. */
const OLD_FLAGS = new Map<string, string>([
  ['-y', 'yes'],
  ['--assumeyes', 'yes'],
  ['-i', 'ignore'],
  ['--ignore', 'ignore'],
]);

/** A command line, and which options of the verb are on that stood before it. */
export interface Words {
  words: readonly string[];
  presets: ReadonlySet<string>;
}

/** Reads what was written for the original `atomic` (its man pages), where that means nothing else here. */
export function oldWords(argv: readonly string[], groups: readonly Group[]): Words {
  const at = argv.findIndex((word) => !word.startsWith('-'));
  if (at === -1) return { words: argv, presets: new Set() };
  const [verb = '', ...rest] = argv.slice(at);
  const presets = new Set<string>();
  const before: string[] = [];
  for (const flag of argv.slice(0, at)) {
    const option = OLD_FLAGS.get(flag);
    if (option !== undefined) presets.add(option);
    else before.push(flag === '--debug' ? '--verbose' : flag);
  }
  const image =
    verb === 'help' && rest[0] !== undefined && ![...groups, { name: 'ostree' }].some(({ name }) => name === rest[0]);
  const names = image ? ['images', 'help'] : (OLD_NAMES.get(verb) ?? [verb]);
  return { words: [...before, ...names, ...rest], presets };
}
