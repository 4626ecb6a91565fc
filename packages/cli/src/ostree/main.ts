import type { CommandModel } from '../completion.ts';
import { createContext, reportError, runCommand } from '../context.ts';
import { errorPrefix, writeErr, writeOut } from '../terminal.ts';
import { VERSION } from '../version.ts';
import { helpText, type OptionSpec, parseOptions, UsageError } from './options.ts';
import type { Verb } from './verb.ts';

type Entry = { name: string; summary: string; load: () => Promise<{ verb: Verb }> };

const VERBS: readonly Entry[] = [
  { name: 'cat', summary: 'Concatenate contents of files', load: () => import('./cat.ts') },
  { name: 'checkout', summary: 'Check out a commit into a filesystem tree', load: () => import('./checkout.ts') },
  { name: 'commit', summary: 'Commit a new revision', load: () => import('./commit.ts') },
  { name: 'config', summary: 'Change repo configuration settings', load: () => import('./config.ts') },
  { name: 'fsck', summary: 'Check the repository for consistency', load: () => import('./fsck.ts') },
  { name: 'gpg-sign', summary: 'Sign a commit', load: () => import('./gpg-sign.ts') },
  { name: 'init', summary: 'Initialize a new empty repository', load: () => import('./init.ts') },
  { name: 'log', summary: 'Show log starting at commit or ref', load: () => import('./log.ts') },
  { name: 'ls', summary: 'List file paths', load: () => import('./ls.ts') },
  { name: 'prune', summary: 'Search for unreachable objects', load: () => import('./prune.ts') },
  { name: 'pull-local', summary: 'Copy data from SRC_REPO', load: () => import('./pull-local.ts') },
  { name: 'pull', summary: 'Download data from remote repository', load: () => import('./pull.ts') },
  { name: 'refs', summary: 'List refs', load: () => import('./refs.ts') },
  { name: 'reset', summary: 'Reset a REF to a previous COMMIT', load: () => import('./reset.ts') },
  { name: 'rev-parse', summary: 'Output the target of a rev', load: () => import('./rev-parse.ts') },
  { name: 'show', summary: 'Output a metadata object', load: () => import('./show.ts') },
  { name: 'sign', summary: 'Sign a commit', load: () => import('./sign.ts') },
  { name: 'summary', summary: 'Manage summary metadata', load: () => import('./summary.ts') },
];

const remote = () => import('./remote.ts');
const REMOTE_SUMMARY = 'Remote commands that may involve internet access';
const REMOTE_VERBS: readonly Entry[] = [
  { name: 'add', summary: 'Add a remote repository', load: async () => ({ verb: (await remote()).add }) },
  { name: 'delete', summary: 'Delete a remote repository', load: async () => ({ verb: (await remote()).remove }) },
  { name: 'show-url', summary: 'Show remote repository URL', load: async () => ({ verb: (await remote()).showUrl }) },
  { name: 'list', summary: 'List remote repository names', load: async () => ({ verb: (await remote()).list }) },
  { name: 'refs', summary: 'List remote refs', load: async () => ({ verb: (await remote()).refs }) },
];

const GLOBAL: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v', text: 'Print debug information during command processing' },
  { long: 'version', text: 'Print version information and exit' },
];

/** What `--version` prints: stock's shape. The features are the ones stock's own tests ask for that we really have. */
const VERSION_TEXT = `libostree:
 Version: '2022.7'
 Implementation: 'atomic ${VERSION}'
 Features:
  - atomic
  - release
`;

function groupHelp(prefix: string, summary: string, title: string, entries: readonly Entry[]): string {
  const listed = [...entries.map(({ name, summary: text }) => [name, text] as const)];
  if (prefix === 'ostree') listed.push(['remote', REMOTE_SUMMARY]);
  listed.sort(([a], [b]) => (prefix === 'ostree' ? (a < b ? -1 : 1) : 0));
  const commands = listed.map(([name, text]) => `  ${name.padEnd(18)}${text}`).join('\n');
  return helpText(`${prefix} [OPTION…] COMMAND`, `${summary}${title}:\n${commands}`, GLOBAL);
}

const ostreeHelp = (): string => groupHelp('ostree', '', 'Builtin Commands', VERBS).replace(/\n\n/, '\n\n');
const remoteHelp = (): string =>
  groupHelp('ostree remote', `${REMOTE_SUMMARY}\n\n`, 'Builtin "remote" Commands', REMOTE_VERBS);

/** Takes the first word that is no option out of the arguments: the command. */
function takeCommand(argv: readonly string[]): { command: string | undefined; rest: string[] } {
  const at = argv.findIndex((arg) => !arg.startsWith('-'));
  if (at < 0) return { command: undefined, rest: [...argv] };
  return { command: argv[at], rest: [...argv.slice(0, at), ...argv.slice(at + 1)] };
}

const wantsHelp = (argv: readonly string[]): boolean => argv.includes('--help') || argv.includes('-h');

/** Runs `ostree` with the arguments after its name; resolves to the exit status. */
export async function ostreeMain(argv: readonly string[]): Promise<number> {
  const { command, rest } = takeCommand(argv);
  if (argv.includes('--version') && !argv.slice(0, argv.indexOf('--version')).includes('--')) {
    writeOut(VERSION_TEXT);
    return 0;
  }
  if (command === 'remote') return runRemote(rest);
  const entry = VERBS.find(({ name }) => name === command);
  if (entry !== undefined) return runVerb(`ostree ${entry.name}`, (await entry.load()).verb, rest);
  return groupFailure(ostreeHelp(), command === undefined && wantsHelp(argv), rest, () =>
    command === undefined ? 'No command specified' : `Unknown command '${command}'`,
  );
}

async function runRemote(argv: readonly string[]): Promise<number> {
  const { command, rest } = takeCommand(argv);
  const entry = REMOTE_VERBS.find(({ name }) => name === command);
  if (entry !== undefined) return runVerb(`ostree remote ${entry.name}`, (await entry.load()).verb, rest);
  return groupFailure(remoteHelp(), command === undefined && wantsHelp(argv), rest, () =>
    command === undefined ? 'No "remote" subcommand specified' : `Unknown "remote" subcommand '${command}'`,
  );
}

function groupFailure(help: string, asked: boolean, rest: readonly string[], message: () => string): number {
  if (asked) {
    writeOut(`${help}\n`);
    return 0;
  }
  let text = message();
  try {
    parseOptions(GLOBAL, rest);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    text = error.message;
  }
  writeErr(help);
  writeErr(`${errorPrefix()}${text}`);
  return 1;
}

function verbHelp(name: string, verb: Verb): string {
  const args = verb.args === '' ? '' : ` ${verb.args}`;
  const help = helpText(`${name} [OPTION…]${args}`, verb.summary, verb.options);
  const examples = (verb.examples ?? []).map((example) => `  ${example}`).join('\n');
  return examples === '' ? `${help}\n` : `${help}\nExamples:\n${examples}\n\n`;
}

async function runVerb(name: string, verb: Verb, argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    writeOut(verbHelp(name, verb));
    return 0;
  }
  const declares = (option: string): boolean => verb.options.some((spec) => spec.long === option);
  try {
    const { options, args } = parseOptions(verb.options, argv);
    const ctx = createContext({
      json: declares('json') && options.flag('json'),
      quiet: declares('quiet') && options.flag('quiet'),
      verbose: declares('verbose') && options.flag('verbose'),
      wait: !(declares('no-wait') && options.flag('no-wait')),
      // Scripts read what stock prints; off a terminal it shows no progress.
      lines: false,
    });
    return await runCommand(ctx, async (inner) => {
      try {
        const status = await verb.run({ ctx: inner, options, args });
        return typeof status === 'number' ? status : 0;
      } catch (error) {
        if (error instanceof UsageError && error.help) writeErr(verbHelp(name, verb));
        throw error;
      }
    });
  } catch (error) {
    reportError(error, false);
    return 1;
  }
}

/** The definitions of the `ostree` commands, for completion and manual pages. */
export async function ostreeModel(): Promise<CommandModel> {
  const model = async ({ name, summary, load }: Entry): Promise<CommandModel> => {
    const { verb } = await load();
    return { name, summary, options: optionsModel(verb.options), commands: [], examples: verb.examples?.join('\n') };
  };
  const group: CommandModel = {
    name: 'remote',
    summary: REMOTE_SUMMARY,
    options: [],
    commands: await Promise.all(REMOTE_VERBS.map(model)),
  };
  return {
    name: 'ostree',
    summary: 'the object store, command for command as stock `ostree`',
    options: optionsModel(GLOBAL),
    commands: [...(await Promise.all(VERBS.map(model))), group],
  };
}

function optionsModel(specs: readonly OptionSpec[]): CommandModel['options'] {
  return specs.map((spec) => ({
    flags: [...(spec.short === undefined ? [] : [`-${spec.short}`]), `--${spec.long}`],
    takesValue: spec.arg !== undefined,
    summary: spec.text,
  }));
}
