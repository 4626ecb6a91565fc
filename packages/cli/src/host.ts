import type { Deployment, Sysroot, UpgradeResult } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action, type Context } from './context.ts';

interface HostOptions {
  sysroot?: string;
  os?: string;
}
interface StatusOptions extends HostOptions {
  booted?: boolean;
  pendingExit77?: boolean;
}
interface UpgradeFlags extends HostOptions {
  check?: boolean;
  preview?: boolean;
  reboot?: boolean;
  allowDowngrade?: boolean;
  stage?: boolean;
  unchangedExit77?: boolean;
}
interface CleanupFlags extends HostOptions {
  base?: boolean;
  pending?: boolean;
  rollback?: boolean;
}

/** rpm-ostree's status for "nothing to do". */
const UNCHANGED = 77;

async function open(options: HostOptions): Promise<Sysroot> {
  const { Sysroot } = await import('@atomic/sysroot');
  const debug = process.env['OSTREE_SYSROOT_DEBUG'] ?? '';
  return Sysroot.open(options.sysroot ?? process.env['OSTREE_SYSROOT'] ?? '/', {
    mutableDeployments: debug.split(/[,:; ]/).includes('mutable-deployments'),
  });
}

const running = (ctx: Context) => ({
  signal: ctx.signal,
  wait: ctx.wait,
  onWait: (message: string) => ctx.onWait(message),
  progress: ctx.progress,
});

/** What commands that pull take from the environment; loaded with them, not with the help. */
async function pulling() {
  const { connectFromEnvironment } = await import('./ostree/pull-result.ts');
  const { trustFromEnvironment } = await import('./ostree/trust.ts');
  return { trust: trustFromEnvironment(), connect: connectFromEnvironment() };
}

const named = (commit: { checksum: string; version?: string | undefined }) =>
  commit.version === undefined ? commit.checksum.slice(0, 10) : `${commit.version} (${commit.checksum.slice(0, 10)})`;

function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const brief = ({ os, checksum, serial, version, staged, index }: Deployment) => ({
  osname: os,
  checksum,
  serial,
  ...(version === undefined ? {} : { version }),
  staged,
  index,
});

/** Ends what changed the next boot: reboots, or says how to. */
async function next(ctx: Context, sysroot: Sysroot, reboot: boolean | undefined): Promise<void> {
  if (reboot) await sysroot.system.reboot();
  else if (!ctx.json && sysroot.load().booted !== null) ctx.print('Run "systemctl reboot" to start a reboot');
}

async function report(
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

/** `atomic host …`: names, options and output as rpm-ostree has them. */
export function register(program: Command): void {
  const host = program.command('host').description('show, upgrade, roll back and deploy this machine');
  host.addHelpText(
    'after',
    `
Examples:
  atomic host status                     what runs, what boots next, what it can go back to
  atomic host upgrade --check            is there something new?
  atomic host upgrade --reboot           fetch it, stage it, reboot into it
  atomic host rollback --reboot          back to the version before
  atomic host deploy 12.20240105.0       a certain version of the branch
  atomic host status --sysroot=/mnt      the same for a disk mounted elsewhere`,
  );
  const osOption = host.createOption('--os <name>', 'operate on this system (stateroot)');
  const add = (name: string, summary: string, examples: string[]) =>
    host
      .command(name)
      .description(summary)
      .option('--sysroot <path>', 'use the sysroot at PATH (default: /)')
      .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);

  add('status', 'get the version of the booted system, and the others', [
    'atomic host status',
    'atomic host status --json | jq .deployments[0].version',
  ])
    .addOption(osOption)
    .option('-b, --booted', 'only print the booted deployment')
    .option('--pending-exit-77', 'exit with status 77 when something boots next that does not run now')
    .action(
      action(async (ctx, options: StatusOptions) => {
        const { hostStatus, lastFinalizeFailure, statusLines } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const state = sysroot.load();
        if (options.os !== undefined) {
          state.deployments = state.deployments.filter((deployment) => deployment.os === options.os);
        }
        if (ctx.json) {
          const status = hostStatus(sysroot, state);
          if (options.booted) status.deployments = status.deployments.filter((deployment) => deployment.booted);
          ctx.printJson(status);
        } else {
          for (const line of statusLines(sysroot, state, { booted: options.booted, verbose: ctx.verbose })) {
            ctx.print(line);
          }
        }
        const failure = lastFinalizeFailure(sysroot);
        if (failure !== null) ctx.warn(`warning: the last upgrade was not switched to at shutdown: ${failure}`);
        return options.pendingExit77 && state.deployments.some(({ pending }) => pending) ? UNCHANGED : 0;
      }),
    );

  add('upgrade', 'fetch the newest version and boot it next', [
    'atomic host upgrade',
    'atomic host upgrade --check',
    'atomic host upgrade --sysroot=/mnt --os=debian',
  ])
    .alias('update')
    .addOption(osOption)
    .option('-r, --reboot', 'reboot when it is ready')
    .option('--allow-downgrade', 'permit a version older than the present one')
    .option('--check', 'only check whether there is a newer version (exit status 77: there is none)')
    .option('--preview', 'the same as --check')
    .option('--stage', 'switch at shutdown (the default on the running system)')
    .option('--no-stage', 'switch at once')
    .option('--unchanged-exit-77', 'exit with status 77 when there is nothing newer')
    .action(
      action(async (ctx, options: UpgradeFlags) => {
        const { upgrade } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const check = options.check === true || options.preview === true;
        const result = await upgrade(sysroot, {
          ...running(ctx),
          ...(await pulling()),
          os: options.os,
          check,
          stage: options.stage,
          allowDowngrade: options.allowDowngrade,
        });
        if (!check) {
          return report(ctx, sysroot, result, {
            ...(options.reboot ? { reboot: true } : {}),
            ...(options.unchangedExit77 ? { unchangedExit77: true } : {}),
            unchanged: 'No upgrade available.',
          });
        }
        if (ctx.json) ctx.printJson(result);
        else if (!result.changed) ctx.print('No updates available.');
        else {
          const { version, timestamp, checksum } = result.to;
          const time = `${new Date(timestamp * 1000).toISOString().slice(0, 19)}Z`;
          ctx.print('AvailableUpdate:');
          ctx.print(version === undefined ? `        Timestamp: ${time}` : `        Version: ${version} (${time})`);
          ctx.print(`         Commit: ${checksum}`);
        }
        return result.changed ? 0 : UNCHANGED;
      }),
    );

  add('rollback', 'boot the previous version next', ['atomic host rollback', 'atomic host rollback --reboot'])
    .addOption(osOption)
    .option('-r, --reboot', 'reboot when it is ready')
    .action(
      action(async (ctx, options: UpgradeFlags) => {
        const { rollback } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const first = await rollback(sysroot, { ...running(ctx), os: options.os });
        if (ctx.json) ctx.printJson({ deployment: brief(first) });
        else ctx.print(`Moving '${first.checksum}.${first.serial}' to be first deployment`);
        await next(ctx, sysroot, options.reboot);
      }),
    );

  add('deploy', 'deploy a certain version or commit of the branch', [
    'atomic host deploy 1',
    'atomic host deploy revision=CHECKSUM --reboot',
  ])
    .addOption(osOption)
    .argument('<version>', 'a version, or a commit checksum; version=… and revision=… say which')
    .option('-r, --reboot', 'reboot when it is ready')
    .option('--stage', 'switch at shutdown (the default on the running system)')
    .option('--no-stage', 'switch at once')
    .option('--unchanged-exit-77', 'exit with status 77 when it is what boots next already')
    .action(
      action(async (ctx, version: string, options: UpgradeFlags) => {
        const { deployVersion } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const result = await deployVersion(sysroot, version, {
          ...running(ctx),
          ...(await pulling()),
          os: options.os,
          stage: options.stage,
        });
        return report(ctx, sysroot, result, {
          ...(options.reboot ? { reboot: true } : {}),
          ...(options.unchangedExit77 ? { unchangedExit77: true } : {}),
          unchanged: 'No change.',
        });
      }),
    );

  add('cleanup', 'remove what is no longer needed', [
    'atomic host cleanup --pending     drop what is staged or would boot next',
    'atomic host cleanup               leftovers, unused kernels and objects',
  ])
    .option('-b, --base', 'only leftovers and unused objects (the default)')
    .option('-p, --pending', 'remove the pending deployment, staged or not')
    .option('-r, --rollback', 'remove the rollback deployment')
    .action(
      action(async (ctx, options: CleanupFlags) => {
        const { cleanup, dropDeployments } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { pending, rollback } = options;
        const dropped = pending || rollback ? await dropDeployments(sysroot, { pending, rollback }, running(ctx)) : [];
        const result = await cleanup(sysroot, running(ctx));
        if (ctx.json) ctx.printJson({ ...result, dropped: dropped.map(brief) });
        else {
          for (const deployment of dropped) ctx.print(`Removed ${named(deployment)}`);
          const { pruned } = result;
          if (pruned !== null) ctx.print(`Freed: ${size(pruned.bytes)} (${pruned.objects} objects)`);
        }
      }),
    );

  host
    .command('finalize-staged', { hidden: true })
    .description('switch to the staged deployment; run by atomic-finalize-staged.service at shutdown')
    .option('--sysroot <path>')
    .action(
      action(async (ctx, options: HostOptions) => {
        const { finalizeStaged } = await import('@atomic/sysroot');
        const done = await finalizeStaged(await open(options), running(ctx));
        ctx.print(done === null ? 'Nothing is staged' : `Finalized ${named(done)}`);
      }),
    );
}
