import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, look, open } from './common.ts';
import { type RedeployFlags, redeploying, reportRedeployed, withRedeployOptions } from './redeploying.ts';

interface InitramfsFlags extends RedeployFlags {
  enable?: boolean;
  disable?: boolean;
  arg?: string[];
}

/** Adds `atomic host initramfs`. */
export function register(host: Command): void {
  const command = add(host, 'initramfs', 'have the initramfs made on this machine, or no more', [
    'atomic host initramfs',
    'atomic host initramfs --enable --arg=--add --arg=multipath --reboot',
    'atomic host initramfs --disable',
  ]);
  withRedeployOptions(command, host)
    .option('--enable', 'make the initramfs anew with dracut, for this deployment and those to come')
    .option('--disable', "use the tree's own initramfs again")
    .option('--arg <arg>', 'one more argument for dracut', (value: string, all: string[] = []) => [...all, value])
    .action(
      action(async (ctx, options: InitramfsFlags) => {
        const { AtomicError } = await import('@atomic/ostree');
        const { nextDeployment, readInitramfsSettings, setRegenerateInitramfs } = await import('@atomic/sysroot');
        const refuse = (message: string) => new AtomicError('usage', message);
        const { enable, disable, arg } = options;
        if (enable && disable) throw refuse('Cannot simultaneously specify --enable and --disable');
        if (disable && arg) throw refuse('Cannot simultaneously specify --disable and --arg');
        if (enable || disable) {
          const sysroot = await open(options);
          const done = await setRegenerateInitramfs(sysroot, enable === true, arg ?? [], redeploying(ctx, options));
          return await reportRedeployed(ctx, sysroot, done, options);
        }
        if (options.reboot) throw refuse('--reboot must be used with --enable or --disable');
        if (arg) throw refuse('--arg must be used with --enable');
        const { regenerate, args } = readInitramfsSettings(nextDeployment(await look(options), options.os).origin);
        if (ctx.json) ctx.printJson({ 'regenerate-initramfs': regenerate, 'initramfs-args': args });
        else {
          ctx.print(`Initramfs regeneration: ${regenerate ? 'enabled' : 'disabled'}`);
          if (args.length > 0) ctx.print(`Initramfs args: ${args.join(' ')}`);
        }
        return 0;
      }),
    );
}
