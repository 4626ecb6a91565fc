import { type Command, Option } from 'commander';
import type { Context } from '../../context.ts';
import { add, collect, confirm, containerAction, positional, withGlobals } from '../common.ts';
import { runShown } from '../run-shown.ts';
import { tableLines } from '../table.ts';
import { definitionFor, openShells, type ShellFlags } from './common.ts';

/** Adds `atomic shell …`. */
export function register(program: Command): void {
  const shell = program
    .command('shell')
    .description('containers of your own to work in, with your home, and the machine under /host');
  withCreate(
    add(shell, 'create', 'make one from its definition', [
      'atomic shell create shell.yaml',
      'atomic shell create --image=registry.example/debian:12 --package=git --package=gdb',
      'atomic shell create --display shell.yaml      only print the commands',
    ]).argument('[file]', 'the definition (default: shell.yaml of your configuration, then of the machine)'),
  ).action(containerAction(createAction));
  const enter = add(shell, 'enter', 'go into one; it is made when it is not there', [
    'atomic shell enter',
    'atomic shell enter work git status     a command instead of a shell',
    'atomic shell enter --root              as root',
  ]);
  positional(program, enter)
    .passThroughOptions()
    .argument('[name]', 'which', 'shell')
    .argument('[command...]', 'a command, with its options')
    .option('--root', 'as root, not as yourself')
    .option('-y, --yes', 'agree to what it wants of this machine')
    .option('--storage <engine>', 'docker or podman')
    .action(containerAction(enterAction));
  add(shell, 'list', 'list yours', ['atomic shell list', 'atomic shell list --json'])
    .option('--storage <engine>', 'docker or podman')
    .action(containerAction(listAction));
  withCreate(
    add(shell, 'rebase', 'make one anew: from the newest image, and all that its definition says', [
      'atomic shell rebase',
      'atomic shell rebase work --file=work.yaml          by another definition',
      'atomic shell rebase --image=registry.example/debian:13',
    ])
      .argument('[name]', 'which', 'shell')
      .option('--file <file>', 'by this definition from now on'),
  ).action(containerAction(rebaseAction));
  add(shell, 'rm', 'remove one; what is in your home stays', ['atomic shell rm', 'atomic shell rm -y work'])
    .argument('[name]', 'which', 'shell')
    .option('-y, --yes', 'do not ask')
    .option('--storage <engine>', 'docker or podman')
    .action(containerAction(removeAction));
  for (const command of shell.commands) if (command !== enter) withGlobals(command);
}

function withCreate(command: Command): Command {
  return command
    .option('-n, --name <name>', 'what it is called')
    .option('--image <image>', 'of this image')
    .option('--package <name>', 'with this package; may be repeated', collect, [])
    .option('--display', 'print what would be done, and do nothing')
    .option('-y, --yes', 'agree to what it wants of this machine')
    .option('--storage <engine>', 'docker or podman')
    .addOption(new Option('--assumeyes').hideHelp());
}

async function createAction(ctx: Context, file: string | undefined, flags: ShellFlags): Promise<void> {
  await using opened = await openShells(ctx, flags);
  const definition = await definitionFor(file, flags);
  const { shells } = opened;
  if (flags.display === true) {
    const { quoteWords } = await import('@atomic/containers');
    for (const words of shells.plan(definition)) ctx.print(quoteWords(words));
    return;
  }
  await opened.ready(definition, `atomic shell create ${file ?? ''}`.trim());
  await shells.create(definition, (words) => runShown(ctx, words));
  if (ctx.json) ctx.printJson(await shells.need(definition.name));
  else if (!ctx.quiet) ctx.print(`made; enter it: atomic shell enter ${definition.name}`);
}

async function enterAction(ctx: Context, name: string, argv: string[], flags: ShellFlags): Promise<number> {
  const { isTerminal } = await import('../../terminal.ts');
  const { runOnTerminal } = await import('@atomic/containers');
  await using opened = await openShells(ctx, flags);
  const { shells } = opened;
  if ((await shells.find(name)) === undefined && name === 'shell') {
    const definition = await definitionFor(undefined, flags);
    await opened.ready(definition, 'atomic shell enter');
    await shells.create({ ...definition, name }, (words) => runShown(ctx, words));
  }
  const words = await shells.enterWords(await shells.need(name), argv, {
    tty: process.stdin.isTTY === true && isTerminal(1),
    folder: process.cwd(),
    root: flags.root === true,
  });
  return await runOnTerminal(words);
}

async function listAction(ctx: Context, flags: ShellFlags): Promise<void> {
  await using opened = await openShells(ctx, flags);
  const rows = await opened.shells.list();
  if (ctx.json) {
    ctx.printJson(rows);
    return;
  }
  const lines = tableLines(rows, [
    { title: 'NAME', value: ({ name }) => name },
    { title: 'IMAGE', value: ({ image }) => image },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'PACKAGES', value: ({ definition }) => definition?.packages.join(' ') ?? '' },
  ]);
  for (const line of lines) ctx.print(line);
}

async function rebaseAction(ctx: Context, name: string, flags: ShellFlags): Promise<void> {
  await using opened = await openShells(ctx, flags);
  const { shells } = opened;
  const shell = await shells.need(name);
  const before = shell.definition;
  const { AtomicError } = await import('@atomic/ostree');
  if (before === undefined && flags.file === undefined) {
    throw new AtomicError('corrupt', `what the shell '${name}' was made from cannot be read`, {
      hint: 'give it: --file FILE',
    });
  }
  const given = flags.file === undefined ? before : await definitionFor(flags.file, {});
  if (given === undefined) return;
  const added = flags.package ?? [];
  const definition = {
    ...given,
    name,
    image: flags.image ?? given.image,
    packages: [...given.packages, ...added.filter((one) => !given.packages.includes(one))],
  };
  if (flags.display === true) {
    const { quoteWords } = await import('@atomic/containers');
    for (const words of shells.plan(definition)) ctx.print(quoteWords(words));
    return;
  }
  await opened.ready(definition, `atomic shell rebase ${name}`, true);
  await shells.rebase(shell, definition, (words) => runShown(ctx, words));
  if (ctx.json) ctx.printJson(await shells.need(name));
  else if (!ctx.quiet) ctx.print(`${name} was made anew of ${definition.image}`);
}

async function removeAction(ctx: Context, name: string, flags: ShellFlags): Promise<void> {
  await using opened = await openShells(ctx, flags);
  const shell = await opened.shells.need(name);
  await confirm(ctx, `Remove the shell '${name}', and all in it that is not in your home?`, flags.yes === true);
  await opened.shells.remove(shell);
}
