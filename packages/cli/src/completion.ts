import type { Command } from 'commander';
import { action } from './context.ts';

/** One command as completion and manual pages see it. */
export interface CommandModel {
  name: string;
  summary: string;
  options: { flags: string[]; takesValue: boolean; summary: string }[];
  commands: CommandModel[];
  /** Command lines, one a line. */
  examples?: string | undefined;
}

/** Reads a commander command's definition. */
export function modelOf(command: Command): CommandModel {
  const own = command.options.filter((option) => !option.hidden);
  return {
    name: command.name(),
    summary: command.description(),
    options: own.map((option) => ({
      flags: [option.short, option.long].filter((flag) => typeof flag === 'string'),
      takesValue: option.required || option.optional,
      summary: option.description,
    })),
    commands: command.commands.map(modelOf),
  };
}

interface Place {
  path: string;
  words: { word: string; summary: string }[];
  flags: { word: string; summary: string }[];
}

/** Every command of the tree with the words that may follow it. */
function places(model: CommandModel, path: string[] = [], inherited: Place['flags'] = []): Place[] {
  const own = model.options.flatMap((option) => option.flags.map((word) => ({ word, summary: option.summary })));
  const flags = [...own, ...inherited.filter((flag) => !own.some((other) => other.word === flag.word))];
  const here: Place = {
    path: path.join(' '),
    words: model.commands.map((child) => ({ word: child.name, summary: child.summary })),
    flags,
  };
  return [here, ...model.commands.flatMap((child) => places(child, [...path, child.name], flags))];
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** Lines of a shell's `case` that go one word deeper; `place`, since zsh ties `path` to PATH. */
function steps(program: CommandModel): string {
  return places(program)
    .filter((place) => place.path !== '')
    .map((place) => `      ${quote(place.path)}) place=$next ;;`)
    .join('\n');
}

function bash(program: CommandModel): string {
  const cases = places(program).map((place) => {
    const words = [...place.words, ...place.flags].map((entry) => entry.word).join(' ');
    return `    ${quote(place.path)}) words=${quote(words)} ;;`;
  });
  return `# bash completion for ${program.name}; install as /usr/share/bash-completion/completions/${program.name}
_${program.name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} place= words= word next i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $word in -*) continue ;; esac
    next="\${place:+$place }$word"
    case $next in
${steps(program)}
    esac
  done
  case $place in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  case $cur in -*) ;; *) COMPREPLY+=($(compgen -f -- "$cur")) ;; esac
}
complete -o filenames -F _${program.name} ${program.name}
`;
}

function zsh(program: CommandModel): string {
  const describe = (entry: { word: string; summary: string }): string =>
    quote(`${entry.word.replaceAll(':', '\\:')}:${entry.summary}`);
  return `#compdef ${program.name}
# zsh completion for ${program.name}; install as _${program.name} in a folder of $fpath
_${program.name}() {
  local place= word next
  local -a entries
  for word in \${words[2,CURRENT-1]}; do
    [[ $word == -* ]] && continue
    next="\${place:+$place }$word"
    case $next in
${steps(program)}
    esac
  done
  case $place in
${places(program)
  .map((place) => `    ${quote(place.path)}) entries=(${[...place.words, ...place.flags].map(describe).join(' ')}) ;;`)
  .join('\n')}
  esac
  _describe -o ${program.name} entries
  _files
}
_${program.name} "$@"
`;
}

function fish(program: CommandModel): string {
  const lines = [`# fish completion for ${program.name}; install as ${program.name}.fish in a completions folder`];
  for (const place of places(program)) {
    const parts = place.path === '' ? [] : place.path.split(' ');
    const seen = parts.map((part) => `__fish_seen_subcommand_from ${part}`);
    const deeper = place.words.map((entry) => entry.word).join(' ');
    const conditions = [...seen, ...(deeper === '' ? [] : [`not __fish_seen_subcommand_from ${deeper}`])];
    const when = conditions.length === 0 ? '' : ` -n ${quote(conditions.join('; and '))}`;
    for (const entry of place.words) {
      lines.push(`complete -c ${program.name}${when} -f -a ${quote(entry.word)} -d ${quote(entry.summary)}`);
    }
    for (const flag of place.flags) {
      const form = flag.word.startsWith('--') ? `-l ${flag.word.slice(2)}` : `-s ${flag.word.slice(1)}`;
      lines.push(`complete -c ${program.name}${when} ${form} -d ${quote(flag.summary)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const SHELLS: Record<string, (program: CommandModel) => string> = { bash, zsh, fish };

/** The completion script of a shell for a program. */
export function completionScript(shell: string, program: CommandModel): string | null {
  return SHELLS[shell]?.(program) ?? null;
}

/** Adds `atomic completion SHELL`. */
export function register(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .argument('<shell>', 'bash, zsh or fish')
    .option('--for <program>', 'atomic or ostree', 'atomic')
    .addHelpText(
      'after',
      '\nExamples:\n  atomic completion bash > /etc/bash_completion.d/atomic\n  source <(atomic completion zsh)',
    )
    .action(
      action(async (ctx, shell: string, options: { for: string }) => {
        const script = completionScript(shell, await modelFor(options.for));
        if (script === null) throw new Error(`Unknown shell '${shell}': bash, zsh and fish are known`);
        ctx.write(script);
      }),
    );
}

/** The definitions of `atomic` (all groups) or `ostree`. */
export async function modelFor(name: string): Promise<CommandModel> {
  const { ostreeModel } = await import('./ostree/main.ts');
  const ostree = await ostreeModel();
  if (name === 'ostree') return ostree;
  const { buildProgram } = await import('./main.ts');
  const { ALL_GROUPS } = await import('./all-groups.ts');
  const model = modelOf(await buildProgram(ALL_GROUPS, 'all'));
  return { ...model, commands: model.commands.map((command) => (command.name === 'ostree' ? ostree : command)) };
}
