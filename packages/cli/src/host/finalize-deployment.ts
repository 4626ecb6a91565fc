import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, open, osOption, running } from './common.ts';

interface FinalizeFlags extends HostOptions {
  allowMissingChecksum?: boolean;
  allowUnlocked?: boolean;
  reboot: boolean;
}

/** Adds `atomic host finalize-deployment`. */
export function register(host: Command): void {
  add(host, 'finalize-deployment', 'unlock the staged deployment and reboot into it', [
    'atomic host upgrade --lock-finalization && atomic host finalize-deployment CHECKSUM',
    'atomic host finalize-deployment --allow-missing-checksum --no-reboot',
  ])
    .addOption(osOption(host))
    .argument('[checksum]', 'the commit that must be the staged one')
    .option('--allow-missing-checksum', 'whatever commit is staged')
    .option('--allow-unlocked', 'also when it was not locked')
    .option('--no-reboot', 'only unlock it: the next shutdown switches to it')
    .action(
      action(async (ctx, checksum: string | undefined, options: FinalizeFlags) => {
        const { finalizeDeployment, reboot } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { os, allowMissingChecksum, allowUnlocked } = options;
        const finalize = { ...running(ctx), os, checksum, allowMissingChecksum, allowUnlocked };
        const commit = await finalizeDeployment(sysroot, finalize);
        if (ctx.json) ctx.printJson({ checksum: commit, reboot: options.reboot });
        else ctx.print(options.reboot ? `Rebooting into ${commit}` : `The next shutdown switches to ${commit}`);
        if (options.reboot) await reboot(sysroot);
      }),
    );
}
