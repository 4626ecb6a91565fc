/** The commands about machines; groups.ts says what they are. */
export const MACHINE_NAMES = ['host', 'compose', 'db', 'changeset', 'vm'] as const;

/**
 * Whether a command is for whole.ts: the containers' verbs under all their names, and what needs the definitions of all.
 * The others start without reading them, a quarter of the code.
 */
export const isElsewhere = (group: string | undefined): boolean =>
  group !== undefined && group !== 'ostree' && !MACHINE_NAMES.some((name) => name === group);

/** The first word of a command line that names a group. */
export function groupOf(argv: readonly string[]): string | undefined {
  const words = argv.filter((arg) => !arg.startsWith('-'));
  return words[0] === 'help' ? words[1] : words[0];
}
