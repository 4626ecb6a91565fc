import { existsSync } from 'node:fs';
import { LIBOSTREE_VERSION } from '@atomic/ostree';
import type { CommandModel } from '../completion.ts';
import { createContext, reportError, runCommand } from '../context.ts';
import { errorPrefix, writeErr, writeOut } from '../terminal.ts';
import { VERSION } from '../version.ts';
import { ADMIN } from './admin/table.ts';
import type { Entry } from './entry.ts';
import { helpText, type OptionSpec, parseOptions, UsageError } from './options.ts';
import type { Verb } from './verb.ts';

const remote = () => import('./remote.ts');
const remoteGpg = () => import('./remote-gpg.ts');
const cookies = () => import('./remote-cookies.ts');
const remoteSummary = () => import('./remote-summary.ts');
const REMOTE: readonly Entry[] = [
  { name: 'add', summary: 'Add a remote repository', load: async () => ({ verb: (await remote()).add }) },
  { name: 'delete', summary: 'Delete a remote repository', load: async () => ({ verb: (await remote()).remove }) },
  { name: 'show-url', summary: 'Show remote repository URL', load: async () => ({ verb: (await remote()).showUrl }) },
  { name: 'list', summary: 'List remote repository names', load: async () => ({ verb: (await remote()).list }) },
  { name: 'gpg-import', summary: 'Import GPG keys', load: async () => ({ verb: (await remoteGpg()).gpgImport }) },
  {
    name: 'gpg-list-keys',
    summary: 'Show remote GPG keys',
    load: async () => ({ verb: (await remoteGpg()).gpgListKeys }),
  },
  {
    name: 'list-gpg-keys',
    summary: 'Show remote GPG keys',
    hidden: true,
    load: async () => ({ verb: (await remoteGpg()).gpgListKeys }),
  },
  { name: 'add-cookie', summary: 'Add a cookie to remote', load: async () => ({ verb: (await cookies()).add }) },
  {
    name: 'delete-cookie',
    summary: 'Remove one cookie from remote',
    load: async () => ({ verb: (await cookies()).remove }),
  },
  {
    name: 'list-cookies',
    summary: 'Show remote repository cookies',
    load: async () => ({ verb: (await cookies()).list }),
  },
  { name: 'refs', summary: 'List remote refs', load: async () => ({ verb: (await remoteSummary()).refs }) },
  { name: 'summary', summary: 'Show remote summary', load: async () => ({ verb: (await remoteSummary()).summary }) },
];

const delta = () => import('./static-delta.ts');
const deltaApply = () => import('./static-delta-apply.ts');
const STATIC_DELTA: readonly Entry[] = [
  { name: 'list', summary: 'List static delta files', load: async () => ({ verb: (await delta()).list }) },
  {
    name: 'show',
    summary: 'Dump information on a delta',
    load: async () => ({ verb: (await import('./static-delta-show.ts')).show }),
  },
  { name: 'delete', summary: 'Remove a delta', load: async () => ({ verb: (await delta()).remove }) },
  {
    name: 'generate',
    summary: 'Generate static delta files',
    load: async () => ({ verb: (await import('./static-delta-generate.ts')).generate }),
  },
  {
    name: 'apply-offline',
    summary: 'Apply static delta file',
    load: async () => ({ verb: (await deltaApply()).applyOffline }),
  },
  {
    name: 'verify',
    summary: 'Verify static delta signatures',
    load: async () => ({ verb: (await deltaApply()).verify }),
  },
  { name: 'indexes', summary: 'List static delta indexes', load: async () => ({ verb: (await delta()).indexes }) },
  {
    name: 'reindex',
    summary: 'Regenerate static delta indexes',
    load: async () => ({ verb: (await delta()).reindex }),
  },
];

/** In the order of stock's `--help`. */
const COMMANDS: readonly Entry[] = [
  ADMIN,
  { name: 'cat', summary: 'Concatenate contents of files', load: () => import('./cat.ts') },
  { name: 'checkout', summary: 'Check out a commit into a filesystem tree', load: () => import('./checkout.ts') },
  { name: 'checksum', summary: 'Checksum a file or directory', load: () => import('./checksum.ts') },
  { name: 'commit', summary: 'Commit a new revision', load: () => import('./commit.ts') },
  { name: 'config', summary: 'Change repo configuration settings', load: () => import('./config.ts') },
  {
    name: 'diff',
    summary: 'Compare directory TARGETDIR against revision REV',
    load: () => import('./diff.ts'),
  },
  { name: 'export', summary: 'Stream COMMIT to stdout in tar format', load: () => import('./export.ts') },
  { name: 'find-remotes', summary: 'Find remotes to serve the given refs', load: () => import('./find-remotes.ts') },
  { name: 'create-usb', summary: 'Copy the refs to a USB stick', load: () => import('./create-usb.ts') },
  { name: 'fsck', summary: 'Check the repository for consistency', load: () => import('./fsck.ts') },
  { name: 'gpg-sign', summary: 'Sign a commit', load: () => import('./gpg-sign.ts') },
  { name: 'init', summary: 'Initialize a new empty repository', load: () => import('./init.ts') },
  { name: 'log', summary: 'Show log starting at commit or ref', load: () => import('./log.ts') },
  { name: 'ls', summary: 'List file paths', load: () => import('./ls.ts') },
  { name: 'prune', summary: 'Search for unreachable objects', load: () => import('./prune.ts') },
  { name: 'pull-local', summary: 'Copy data from SRC_REPO', load: () => import('./pull-local.ts') },
  { name: 'pull', summary: 'Download data from remote repository', load: () => import('./pull.ts') },
  { name: 'refs', summary: 'List refs', load: () => import('./refs.ts') },
  { name: 'remote', summary: 'Remote commands that may involve internet access', commands: REMOTE },
  { name: 'reset', summary: 'Reset a REF to a previous COMMIT', load: () => import('./reset.ts') },
  { name: 'rev-parse', summary: 'Output the target of a rev', load: () => import('./rev-parse.ts') },
  { name: 'sign', summary: 'Sign a commit', load: () => import('./sign.ts') },
  { name: 'show', summary: 'Output a metadata object', load: () => import('./show.ts') },
  { name: 'static-delta', summary: 'Static delta related commands', commands: STATIC_DELTA, width: 17 },
  { name: 'summary', summary: 'Manage summary metadata', load: () => import('./summary.ts') },
  { name: 'trivial-httpd', summary: 'Simple webserver', hidden: true, load: () => import('./trivial-httpd.ts') },
];
const ROOT: Entry = {
  name: 'ostree',
  summary: 'the object store, command for command as stock `ostree`',
  commands: COMMANDS,
};

const GLOBAL: readonly OptionSpec[] = [
  { long: 'verbose', short: 'v', text: 'Print debug information during command processing' },
  { long: 'version', text: 'Print version information and exit' },
];

/**
 * Upstream's names for what can be left out of a build, and is in this one (`OSTREE_FEATURES` in configure.ac). Its tests
 * and other programs ask for them.
 */
const FEATURES = [
  'inode64',
  'libcurl',
  'gpgme',
  'libarchive',
  'sign-ed25519',
  'sign-spki',
  'release',
  'p2p',
  'initial-var',
  'atomic',
];

/** Images are made by composefs' own tool, so that is a feature where it is installed. */
const hasComposefs = (): boolean =>
  (process.env['PATH'] ?? '').split(':').some((folder) => folder !== '' && existsSync(`${folder}/mkcomposefs`));

const versionText = (): string => `libostree:
 Version: '${LIBOSTREE_VERSION}'
 Implementation: 'atomic ${VERSION}'
 Features:
${[...FEATURES, ...(hasComposefs() ? ['composefs'] : [])].map((name) => `  - ${name}\n`).join('')}`;

const groupOptions = (group: Entry): readonly OptionSpec[] => [...(group.options ?? []), ...GLOBAL];

/** The words after `ostree` that lead to a group, as stock's messages have them. */
const groupName = (path: readonly Entry[]): string => path.map(({ name }) => name).join(' ');

function groupHelp(path: readonly Entry[], group: Entry): string {
  const listed = (group.commands ?? []).filter(({ hidden }) => hidden !== true);
  const lines = listed.map(({ name, summary }) => `  ${name.padEnd(group.width ?? 18)}${summary}`).join('\n');
  const inner =
    path.length === 0 ? { intro: '', title: '' } : { intro: `${group.summary}\n\n`, title: `"${groupName(path)}" ` };
  const usage = `${['ostree', ...path.map(({ name }) => name)].join(' ')} [OPTION…] ${group.usage ?? 'COMMAND'}`;
  return helpText(usage, `${inner.intro}Builtin ${inner.title}Commands:\n${lines}`, groupOptions(group));
}

/** Takes the command, the first word that is no option, out of the arguments. */
function takeCommand(argv: readonly string[]): { command: string | undefined; rest: string[] } {
  const end = argv.indexOf('--');
  const at = argv.findIndex((arg, index) => !arg.startsWith('-') && (end < 0 || index < end));
  if (at < 0) return { command: undefined, rest: [...argv] };
  return { command: argv[at], rest: [...argv.slice(0, at), ...argv.slice(at + 1)] };
}

/** Runs `ostree` with the arguments after its name; resolves to the exit status. */
export async function ostreeMain(argv: readonly string[]): Promise<number> {
  return runGroup([], ROOT, argv);
}

async function runGroup(path: readonly Entry[], group: Entry, argv: readonly string[]): Promise<number> {
  const intercepted = (await group.intercept?.(argv)) ?? null;
  if (intercepted !== null) return intercepted;
  const { command, rest } = takeCommand(argv);
  const entry = group.commands?.find(({ name }) => name === command);
  if (entry?.commands !== undefined) return runGroup([...path, entry], entry, rest);
  if (entry?.load !== undefined) {
    const words = [...path, entry].map(({ name }) => name);
    return runVerb(['ostree', ...words].join(' '), (await entry.load()).verb, rest);
  }
  if (path.length === 0 && command !== undefined && command !== '') {
    const { findExternal, runExternal } = await import('./external.ts');
    const program = findExternal(command);
    if (program !== null) return runExternal(program, argv);
  }
  const word = path.length === 0 ? 'command' : `"${groupName(path)}" subcommand`;
  let message = command === undefined ? `No ${word} specified` : `Unknown ${word} '${command}'`;
  try {
    const { options, help } = parseOptions(groupOptions(group), rest);
    if (help) {
      writeOut(`${groupHelp(path, group)}\n`);
      return 0;
    }
    if (options.flag('version')) {
      writeOut(versionText());
      return 0;
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    message = error.message;
  }
  writeErr(groupHelp(path, group));
  writeErr(`${errorPrefix()}${message}`);
  return 1;
}

function verbHelp(name: string, verb: Verb): string {
  const args = verb.args === '' ? '' : ` ${verb.args}`;
  const help = helpText(`${name} [OPTION…]${args}`, verb.summary, verb.options);
  const examples = (verb.examples ?? []).map((example) => `  ${example}`).join('\n');
  return examples === '' ? `${help}\n` : `${help}\nExamples:\n${examples}\n\n`;
}

async function runVerb(name: string, verb: Verb, argv: readonly string[]): Promise<number> {
  const declares = (option: string): boolean => verb.options.some((spec) => spec.long === option);
  try {
    const { options, args, help } = parseOptions(verb.options, argv);
    if (help) {
      writeOut(verbHelp(name, verb));
      return 0;
    }
    if (declares('version') && options.flag('version')) {
      writeOut(versionText());
      return 0;
    }
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
export function ostreeModel(): Promise<CommandModel> {
  return modelOf(ROOT);
}

async function modelOf({ name, summary, load, commands }: Entry): Promise<CommandModel> {
  const verb = (await load?.())?.verb;
  const shown = (commands ?? []).filter(({ hidden }) => hidden !== true);
  return {
    name,
    summary,
    options: optionsModel(verb?.options ?? (name === 'ostree' ? GLOBAL : [])),
    commands: await Promise.all(shown.map(modelOf)),
    examples: verb?.examples?.join('\n'),
  };
}

function optionsModel(specs: readonly OptionSpec[]): CommandModel['options'] {
  return specs.map((spec) => ({
    flags: [...(spec.short === undefined ? [] : [`-${spec.short}`]), `--${spec.long}`],
    takesValue: spec.arg !== undefined,
    summary: spec.text,
  }));
}
