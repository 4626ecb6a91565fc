import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, look, open } from './common.ts';
import { type RedeployFlags, redeploying, reportRedeployed, withRedeployOptions } from './redeploying.ts';

interface TrackFlags extends RedeployFlags {
  track?: string[];
  untrack?: string[];
  untrackAll?: boolean;
  forceSync?: boolean;
}

/** Adds `atomic host initramfs-etc`. */
export function register(host: Command): void {
  const command = add(host, 'initramfs-etc', 'put files of /etc into the initramfs', [
    'atomic host initramfs-etc --track=/etc/crypttab --reboot',
    'atomic host initramfs-etc --force-sync     after such a file was changed',
    'atomic host initramfs-etc',
  ]);
  const collect = (value: string, all: string[] = []) => [...all, value];
  withRedeployOptions(command, host)
    .option('--track <file>', 'put a file or folder of /etc into the initramfs, of later deployments, too', collect)
    .option('--untrack <file>', 'leave it out again', collect)
    .option('--untrack-all', 'leave all of them out again')
    .option('--force-sync', 'deploy with what these files hold now')
    .action(
      action(async (ctx, options: TrackFlags) => {
        const { track, untrack, untrackAll, forceSync } = options;
        const { nextDeployment, readInitramfsSettings, trackInitramfsEtc } = await import('@atomic/sysroot');
        if (track || untrack || untrackAll || forceSync) {
          const sysroot = await open(options);
          const change = { track, untrack, untrackAll, forceSync };
          const done = await trackInitramfsEtc(sysroot, change, redeploying(ctx, options));
          return await reportRedeployed(ctx, sysroot, done, options);
        }
        if (options.reboot) {
          const { AtomicError } = await import('@atomic/ostree');
          const message = 'Cannot use --reboot without --track, --untrack, --untrack-all, or --force-sync';
          throw new AtomicError('usage', message);
        }
        const { etc } = readInitramfsSettings(nextDeployment(await look(options), options.os).origin);
        if (ctx.json) ctx.printJson({ 'initramfs-etc': etc });
        else if (etc.length === 0) ctx.print('No tracked files.');
        else for (const line of ['Tracked files:', ...etc.map((path) => `  ${path}`)]) ctx.print(line);
        return 0;
      }),
    );
}
