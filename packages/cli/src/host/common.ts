import type { Deployment, Sysroot, UpgradeResult } from '@atomic/sysroot';
import type { Command, Option } from 'commander';
import type { Context } from '../context.ts';

/** Options that every command of `atomic host` has. */
export interface HostOptions {
  sysroot?: string;
  os?: string;
}

/** rpm-ostree's status for "nothing to do". */
export const UNCHANGED = 77;

/** Adds a command to `atomic host`, with what all of them have; every one of them shows examples. */
export function add(host: Command, name: string, summary: string, examples: string[]): Command {
  return host
    .command(name)
    .description(summary)
    .option('--sysroot <path>', 'use the sysroot at PATH (default: /)')
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
}

export const osOption = (host: Command): Option =>
  host.createOption('--os <name>', 'operate on this system (stateroot)');

/** What was asked, as it was typed: others see it while it works, and the history keeps it. */
const commandLine = () => process.argv.slice(process.argv.indexOf('host') + 1).join(' ');

/** Opens, to look only, the sysroot that the options or the environment name. */
export async function look(options: HostOptions): Promise<Sysroot> {
  const { openSysroot } = await import('../ostree/admin/sysroot.ts');
  return await openSysroot(options.sysroot, commandLine());
}

/** Opens it to change it: where the running system's disk is mounted read-only, it is writable for this command alone. */
export async function open(options: HostOptions): Promise<Sysroot> {
  const { ensureWritable } = await import('../ostree/admin/namespace.ts');
  const { sysrootPath } = await import('../ostree/admin/sysroot.ts');
  await ensureWritable(sysrootPath(options.sysroot));
  return await look(options);
}

/** What every operation takes from a context. */
export const running = (ctx: Context) => ({
  signal: ctx.signal,
  wait: ctx.wait,
  onWait: (message: string) => ctx.onWait(message),
  progress: ctx.progress,
});

/** What commands that pull take from the environment; loaded with them, not with the help. */
export async function pulling() {
  const { connectFromEnvironment } = await import('../ostree/pull-result.ts');
  const { trustFromEnvironment } = await import('../ostree/trust.ts');
  return { trust: trustFromEnvironment(), connect: connectFromEnvironment() };
}

/** A commit for people. */
export const named = (commit: { checksum: string; version?: string | undefined }) =>
  commit.version === undefined ? commit.checksum.slice(0, 10) : `${commit.version} (${commit.checksum.slice(0, 10)})`;

/** Bytes for people. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A deployment as JSON. */
export const brief = ({ os, checksum, serial, version, staged, index }: Deployment) => ({
  osname: os,
  checksum,
  serial,
  ...(version === undefined ? {} : { version }),
  staged,
  index,
});

/** Ends what changed the next boot: reboots, or says how to. */
export async function next(ctx: Context, sysroot: Sysroot, reboot: boolean | undefined): Promise<void> {
  if (reboot) await sysroot.system.reboot();
  else if (!ctx.json && sysroot.load().booted !== null) ctx.print('Run "systemctl reboot" to start a reboot');
}

/** Says what an upgrade or its like came to, and ends it; resolves to the exit status. */
export async function report(
  ctx: Context,
  sysroot: Sysroot,
  result: UpgradeResult,
  options: { reboot?: boolean; unchanged: string; unchangedExit77?: boolean },
): Promise<number> {
  if (ctx.json) {
    const { deployment } = result;
    ctx.printJson({ ...result, deployment: deployment === null ? null : brief(deployment) });
  }
  const { requests, bytes } = result.pull;
  if (!result.changed) {
    if (!ctx.json) ctx.print(options.unchanged);
    return options.unchangedExit77 ? UNCHANGED : 0;
  }
  if (!ctx.json) {
    if (requests > 0) ctx.print(`Fetched ${size(bytes)} in ${requests} requests (${result.pull.objects} objects)`);
    ctx.print(`${result.deployment?.staged ? 'Staged' : 'Deployed'}: ${named(result.from)} -> ${named(result.to)}`);
  }
  await next(ctx, sysroot, options.reboot);
  return 0;
}
