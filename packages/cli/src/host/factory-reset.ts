import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, open } from './common.ts';
import { type RedeployFlags, redeploying, reportRedeployed, withRedeployOptions } from './redeploying.ts';

interface ResetFlags extends RedeployFlags {
  yes?: boolean;
  cancel?: boolean;
  boot?: boolean;
}

const WARNING = `At the next boot this machine is as its image made it, in the version it has now:
everything in /var (home folders, containers, databases, logs) is deleted, and so is
every change to /etc: accounts, passwords, keys, network settings.`;

/** Adds `atomic host factory-reset`. */
export function register(host: Command): void {
  const command = add(host, 'factory-reset', 'make /etc and /var as new at the next boot, keeping the version', [
    'atomic host factory-reset --reboot',
    'atomic host factory-reset --yes         without asking',
    'atomic host factory-reset --cancel      as long as it was not rebooted',
  ]);
  withRedeployOptions(command, host)
    .option('-y, --yes', 'do not ask')
    .option('--cancel', 'take it back')
    .addOption(host.createOption('--boot').hideHelp())
    .action(action(run));
}

async function confirmed(ctx: Context): Promise<boolean> {
  const { AtomicError } = await import('@atomic/ostree');
  if (!process.stdin.isTTY) {
    throw new AtomicError('usage', 'a factory reset deletes all data of this machine: confirm it with --yes');
  }
  ctx.warn(WARNING);
  const { createInterface } = await import('node:readline/promises');
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await asking.question("Type 'yes' to go on: ", { signal: ctx.signal })).trim() === 'yes';
  } finally {
    asking.close();
  }
}

async function run(ctx: Context, options: ResetFlags): Promise<number> {
  const { cancelFactoryReset, factoryReset, factoryResetAtBoot } = await import('@atomic/sysroot');
  if (options.boot) {
    const { readFileSync } = await import('node:fs');
    const sysroot = await open(options);
    const done = await factoryResetAtBoot(sysroot, readFileSync('/proc/cmdline', 'utf8'), redeploying(ctx, options));
    ctx.print({ reset: '/var is as new', deployed: 'rebooting for the reset', nothing: 'nothing to reset' }[done]);
    if (done === 'deployed') await sysroot.system.reboot();
    return 0;
  }
  if (options.cancel) {
    const done = await cancelFactoryReset(await open(options), redeploying(ctx, options));
    if (ctx.json) ctx.printJson({ cancelled: done });
    else ctx.print(done ? 'The factory reset will not happen.' : 'There is no factory reset to cancel.');
    return 0;
  }
  if (!options.yes && !(await confirmed(ctx))) return 1;
  const sysroot = await open(options);
  const deployment = await factoryReset(sysroot, redeploying(ctx, options));
  if (!ctx.json) ctx.print('/etc and /var will be as new after the next boot.');
  return await reportRedeployed(ctx, sysroot, deployment, options);
}
