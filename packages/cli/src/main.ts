import type { Command } from 'commander';
import { VERBS } from './containers/verbs.ts';
import { groupOf } from './elsewhere.ts';
import type { Group } from './groups.ts';
import { writeErr, writeOut } from './terminal.ts';
import { VERSION } from './version.ts';

const EXAMPLES = `
Examples:
  atomic compose tree --repo=repo examples/debian-minimal.yaml   make a tree and commit it
  atomic compose image --repo=repo --ref=REF disk.qcow2          write a bootable disk
  atomic vm run disk.qcow2                                       boot it
  atomic host status                                             what runs here, what is next
  atomic host upgrade                                            stage the newest version
  atomic db diff                                                 which packages the next version changes
  atomic ostree log --repo=repo REF                              the same store, as stock \`ostree\` speaks
  atomic pull registry.example/app:1                             an image, into the same store
  atomic install --system --name=web registry.example/web:1      a service of an image, without any engine
  atomic containers update web                                   its newest version; a bad one is taken back

Run \`atomic GROUP --help\` for the commands of a group.`;

/** Builds the program with the groups named in `load`, or all of them; the others are there by name only. */
export async function buildProgram(groups: readonly Group[], load: 'all' | readonly string[]): Promise<Command> {
  const { Command, Option } = await import('commander');
  const program = new Command('atomic')
    .description('Builds, ships, runs and rolls back image-based Linux hosts, and the containers on them.')
    .usage('[OPTIONS] GROUP COMMAND')
    .addOption(new Option('--json', 'print the result as JSON'))
    .addOption(new Option('-v, --verbose', 'say more, with stack traces for errors'))
    .addOption(new Option('-q, --quiet', 'no progress'))
    .addOption(new Option('--no-wait', 'fail at once where another command holds the lock'))
    .addOption(new Option('--version', 'print the version'))
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', EXAMPLES)
    .configureHelp({ showGlobalOptions: true })
    // Commander's own writing knows nothing of a reader that has gone (`--help | head`).
    .configureOutput({ writeOut, writeErr: (text) => writeErr(text.replace(/\n$/, '')) })
    .showHelpAfterError('  hint: add --help to see what is allowed')
    .exitOverride();
  for (const group of groups) {
    if (group.load !== undefined && (load === 'all' || load.includes(group.name)))
      (await group.load()).register(program);
    else program.command(group.name).description(group.summary);
  }
  if (load === 'all' || !load.includes('ostree')) {
    program
      .command('ostree')
      .description('the object store, command for command as stock `ostree`')
      .helpOption(false)
      .allowUnknownOption()
      .argument('[args...]');
  }
  const verbs = new Set<string>(VERBS.map(({ name }) => name));
  for (const command of program.commands) if (verbs.has(command.name())) command.helpGroup('Containers:');
  inherit(program);
  return program;
}

/** Commands made by a group follow the program in how they show help and fail. */
function inherit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inherit(child);
  }
}

/**
 * Runs `atomic` of these groups with the arguments after its name; resolves to the exit status. `presets`: options of the
 * command, where it has them, that are on.
 */
export async function main(
  groups: readonly Group[],
  argv: readonly string[],
  presets: ReadonlySet<string> = new Set(),
): Promise<number> {
  const group = groupOf(argv);
  if (group === undefined && argv.includes('--version')) {
    writeOut(`atomic:\n Version: '${VERSION}'\n Node: '${process.versions.node}'\n`);
    return 0;
  }
  if (group === 'ostree') {
    const { ostreeMain } = await import('./ostree/main.ts');
    return ostreeMain(argv.slice(argv.indexOf('ostree') + 1));
  }
  const program = await buildProgram(groups, group === undefined ? [] : [group]);
  if (argv.length === 0) {
    program.outputHelp({ error: true });
    return 1;
  }
  program.hook('preAction', (_program, command) => {
    for (const option of command.options)
      if (presets.has(option.attributeName())) command.setOptionValue(option.attributeName(), true);
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    // Commander has already printed what is wrong; help and version come this way too, with status 0.
    if (error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number') {
      // The verbs of containers tell misuse (2) from failure (1), as the field's scripts expect of them.
      return error.exitCode === 1 && VERBS.some(({ name }) => name === group) ? 2 : error.exitCode;
    }
    throw error;
  }
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}
