import { once } from 'node:events';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, type HostOptions, open, running } from './common.ts';

interface TryFlags extends HostOptions {
  timeout: string;
  onRevert?: string;
  reboot?: boolean;
  confirm?: boolean;
  revert?: boolean;
  status?: boolean;
  resume?: boolean;
  id?: string;
}

/** This very program, for the timer to start again. */
const revertCommand = (id: string): string[] => [
  ...[process.execPath, ...process.execArgv, process.argv[1] ?? ''],
  ...['host', 'try', '--revert', `--id=${id}`],
];

/** Adds `atomic host try`. */
export function register(host: Command): void {
  add(host, 'try', 'change something, and have it taken back unless you confirm it in time', [
    'atomic host try -- sed -i s/22/2222/ /etc/ssh/sshd_config',
    "atomic host try --on-revert='systemctl restart ssh' -- ./harden-ssh.sh",
    'atomic host try --timeout=30min --reboot     then change /etc by hand',
    'atomic host try -- atomic host kargs --append=nosmt --reboot',
    'atomic host try --confirm                    keep it',
  ])
    .argument('[command...]', 'what changes /etc or the boot entries; without it, do that yourself')
    .option('--timeout <time>', 'how long to wait for the confirmation', '10min')
    .option('--on-revert <command>', 'run this when it was taken back')
    .option('--reboot', 'reboot when it was taken back')
    .option('--confirm', 'keep the change')
    .option('--revert', 'take the change back now')
    .option('--status', 'say what is being tried, and how long there is to confirm it')
    .addOption(host.createOption('--id <id>').hideHelp())
    .addOption(host.createOption('--resume').hideHelp())
    .action(action(run));
}

async function run(ctx: Context, command: string[], options: TryFlags): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  const chosen = [options.confirm, options.revert, options.status, options.resume].filter((flag) => flag === true);
  if (chosen.length > 1 || (chosen.length === 1 && command.length > 0)) {
    throw new AtomicError('usage', 'a command, --confirm, --revert and --status exclude each other');
  }
  if (options.status) return await status(ctx, options);
  if (options.confirm) return await confirm(ctx, options);
  if (options.revert) return await revert(ctx, options, options.id === undefined ? 'by hand' : 'not confirmed in time');
  if (options.resume) return await resume(ctx, options);
  return await begin(ctx, command, options);
}

const guard = async () => await (await import('@atomic/sysroot')).loadGuard();

async function begin(ctx: Context, command: string[], options: TryFlags): Promise<number> {
  const { formatDuration, parseDuration } = await import('@atomic/sysroot');
  const { beginTry, systemdTimer, tryChanges } = await guard();
  const timeoutSeconds = parseDuration(options.timeout, 'timeout');
  const sysroot = await open(options);
  const { onRevert, reboot } = options;
  const common = { timer: systemdTimer, revertCommand, timeoutSeconds, onRevert, reboot };
  const state = await beginTry(sysroot, { ...running(ctx), ...common, command });
  const time = formatDuration(timeoutSeconds);
  const [program, ...args] = command;
  if (program === undefined) {
    if (ctx.json) ctx.printJson({ id: state.id, timeoutSeconds });
    else ctx.print(`What is changed in /etc from now on is taken back in ${time}, unless you confirm it.`);
    return 0;
  }
  const failed = await runTried(ctx, program, args);
  if (failed !== 0) {
    ctx.warn(`the command failed (status ${failed}): what it changed is taken back`);
    await revert(ctx, options, `the command failed with status ${failed}`);
    return failed;
  }
  const { modified, removed, added } = tryChanges(sysroot);
  if (ctx.json) ctx.printJson({ id: state.id, timeoutSeconds, modified, removed, added });
  else {
    ctx.print(`/etc: ${modified.length} modified, ${removed.length} removed, ${added.length} added`);
    ctx.print(`All of it is taken back in ${time}, unless you keep it with: atomic host try --confirm`);
  }
  return 0;
}

/** Runs the command with our terminal; resolves to its exit status. */
async function runTried(ctx: Context, program: string, args: readonly string[]): Promise<number> {
  const { spawn } = await import('node:child_process');
  try {
    const child = spawn(program, args, { stdio: ctx.json ? ['inherit', 2, 'inherit'] : 'inherit', signal: ctx.signal });
    const [status]: unknown[] = await once(child, 'close');
    return typeof status === 'number' ? status : 1;
  } catch (error) {
    ctx.warn(`${program}: ${error instanceof Error ? error.message : String(error)}`);
    return 127;
  }
}

async function status(ctx: Context, options: TryFlags): Promise<number> {
  const { formatDuration } = await import('@atomic/sysroot');
  const { lastTry, secondsLeft } = await guard();
  const { look } = await import('./common.ts');
  const state = lastTry(await look(options));
  const left = state?.phase === 'pending' ? secondsLeft(state, Date.now()) : null;
  if (ctx.json) ctx.printJson(state === null ? null : { ...state, secondsLeft: left });
  else if (state === null) ctx.print('Nothing is being tried.');
  else {
    const what = state.command.length === 0 ? 'changes by hand' : state.command.join(' ').replace(/\s+/g, ' ');
    if (left !== null) ctx.print(`On trial: ${what}; taken back in ${formatDuration(Math.round(left))}`);
    else {
      const when = new Date(state.ended ?? state.started).toISOString();
      ctx.print(`${state.phase === 'confirmed' ? 'Kept' : 'Taken back'}: ${what} (${when}, ${state.reason ?? ''})`);
    }
  }
  return 0;
}

async function confirm(ctx: Context, options: TryFlags): Promise<number> {
  const { confirmTry, systemdTimer } = await guard();
  const state = await confirmTry(await open(options), systemdTimer, running(ctx));
  if (ctx.json) ctx.printJson(state);
  else ctx.print('Kept.');
  return 0;
}

async function revert(ctx: Context, options: TryFlags, reason: string): Promise<number> {
  const { revertTry, systemdTimer } = await guard();
  const sysroot = await open(options);
  // Goes to its end even where the person gave up waiting.
  const undone = await revertTry(sysroot, systemdTimer, { wait: ctx.wait, id: options.id, reason });
  if (undone === null) return 0;
  return await finish(ctx, options, undone);
}

async function resume(ctx: Context, options: TryFlags): Promise<number> {
  const { resumeTry, systemdTimer } = await guard();
  const undone = await resumeTry(await open(options), { ...running(ctx), timer: systemdTimer, revertCommand });
  return undone === null ? 0 : await finish(ctx, options, undone);
}

type Undone = NonNullable<Awaited<ReturnType<Awaited<ReturnType<typeof guard>>['revertTry']>>>;

async function finish(ctx: Context, options: TryFlags, { state, etc, entries, needsReboot }: Undone): Promise<number> {
  if (ctx.json) ctx.printJson({ ...state, etc, entries, needsReboot });
  else {
    ctx.print(`Taken back: ${etc.written.length} files restored, ${etc.removed.length} removed in /etc`);
    if (entries) ctx.print('The boot entries are as they were.');
  }
  const status = state.onRevert === null ? 0 : await runTried(ctx, '/bin/sh', ['-c', state.onRevert]);
  // While starting up what is to be restarted has not been started yet.
  if (needsReboot || (state.reboot && !options.resume)) await (await open(options)).system.reboot();
  return status;
}
