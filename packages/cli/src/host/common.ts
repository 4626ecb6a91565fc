import type { Deployment, PendingDiff, Sysroot, UpgradeResult } from '@atomic/sysroot';
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
  host.createOption('--stateroot, --os <name>', 'operate on this system (stateroot)');

/** Options of commands that bring another version. */
export interface ChangeFlags extends HostOptions {
  reboot?: boolean;
  stage?: boolean;
  lockFinalization?: boolean;
  cacheOnly?: boolean;
  downloadOnly?: boolean;
  unchangedExit77?: boolean;
}

/** Gives a command those options. */
export const withChangeOptions = (command: Command, host: Command): Command =>
  command
    .addOption(osOption(host))
    .option('-r, --reboot', 'reboot when it is ready')
    .option('-C, --cache-only', 'ask no server: go by what was downloaded before')
    .option('--download-only', 'download it, deploy nothing')
    .option('--lock-finalization', 'stage it, but switch only after finalize-deployment')
    .option('--stage', 'switch at shutdown (the default on the running system)')
    .option('--no-stage', 'switch at once')
    .option('--unchanged-exit-77', 'exit with status 77 when nothing new is deployed')
    // An update driver is not in the way of anything here; scripts written for rpm-ostree say it.
    .addOption(host.createOption('--bypass-driver').hideHelp());

/** Who runs the package manager where packages are layered; loaded only there. */
export const layering = { layers: async () => await (await import('@atomic/compose')).layerAssembler() };

/** Who brings container images where one is followed; loaded only there. */
export const imaging = { images: async () => (await import('@atomic/compose')).imagePuller() };

/** Several values of one option. */
export const collect = (value: string, all: string[] = []) => [...all, value];

/** What those options mean for an operation. */
export const changing = async (ctx: Context, options: ChangeFlags) => ({
  ...running(ctx),
  ...layering,
  ...imaging,
  ...(await pulling()),
  os: options.os,
  stage: options.stage,
  lockFinalization: options.lockFinalization,
  cacheOnly: options.cacheOnly,
  downloadOnly: options.downloadOnly,
});

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
  if (reboot) {
    const { reboot: rebootNow } = await import('@atomic/sysroot');
    await rebootNow(sysroot);
  } else if (!ctx.json && sysroot.load().booted !== null) ctx.print('Run "systemctl reboot" to start a reboot');
}

/** How what was deployed differs from what was before. */
export async function changesOf(sysroot: Sysroot, { deployment }: UpgradeResult): Promise<PendingDiff | null> {
  const { pendingDiff } = await import('@atomic/sysroot');
  const { booted, deployments } = sysroot.load();
  const before = booted ?? deployments.find(({ os, index }) => os === deployment?.os && index > deployment.index);
  return deployment === null || before === undefined ? null : pendingDiff(sysroot, before, deployment);
}

/** The same for people: which packages, and where none did, how many files. */
export async function changesLines(diff: PendingDiff | null): Promise<string[]> {
  if (diff === null) return [];
  const { fileDiffText, packageChangesJson, securityLines } = await import('@atomic/sysroot');
  const { 'rpm-diff': packages, advisories = [] } = packageChangesJson(diff.packages);
  if (packages === undefined)
    return [fileDiffText(diff.files)].flatMap((text) => (text === '' ? [] : [`Diff: ${text}`]));
  const { blockLines } = await import('@atomic/pkgdb');
  return [...blockLines(packages), ...securityLines(advisories, false).map((line) => `SecAdvisories: ${line}`)];
}

/** Says what came of layering otherwise than somebody may expect. */
export function warnOfNotes(ctx: Context, { layer }: UpgradeResult): void {
  for (const note of layer?.notes ?? []) ctx.warn(`note: ${note}`);
}

/** Says what a deployment's /etc got otherwise than somebody may expect: nothing is decided in silence. */
export async function warnOfConflicts(ctx: Context, sysroot: Sysroot, deployment: Deployment | null): Promise<void> {
  if (deployment === null) return;
  const { readEtcReport } = await import('@atomic/sysroot');
  const report = readEtcReport(sysroot, deployment);
  const verb = report?.final ? 'was' : 'will be';
  for (const { path, here, defaults } of report?.conflicts ?? []) {
    ctx.warn(`/etc/${path}: ${here} here, ${defaults} in the new defaults: the local version ${verb} kept`);
  }
  for (const { file, name, id, heldBy } of report?.accounts.conflicts ?? []) {
    const what = file === 'passwd' ? 'user' : 'group';
    ctx.warn(`/etc/${file}: the new ${what} '${name}' ${verb} left out: its number ${id} belongs to ${heldBy} here`);
  }
}

/** What automatic updates would not take, people may; they are told. */
async function warnOfBad(ctx: Context, sysroot: Sysroot, deployment: Deployment | null): Promise<void> {
  if (deployment === null) return;
  const { loadBadCommits } = await import('@atomic/sysroot');
  const known = loadBadCommits(sysroot, deployment.os);
  const bad = known.get(deployment.checksum) ?? known.get(deployment.base);
  if (bad !== undefined) ctx.warn(`warning: ${named(deployment)} is marked bad on this machine: ${bad.reason}`);
}

/** Says what an upgrade or its like came to, and ends it; resolves to the exit status. */
export async function report(
  ctx: Context,
  sysroot: Sysroot,
  result: UpgradeResult,
  options: ChangeFlags & { unchanged: string },
): Promise<number> {
  const { deployment, from, to } = result;
  if (ctx.json) {
    const { etcFacts, packageChangesJson } = await import('@atomic/sysroot');
    const changes = packageChangesJson((await changesOf(sysroot, result))?.packages ?? null);
    const one = deployment === null ? null : { ...brief(deployment), ...changes, ...etcFacts(sysroot, deployment) };
    ctx.printJson({ ...result, deployment: one });
  }
  if (!result.changed) {
    if (!ctx.json) ctx.print(options.unchanged);
    return options.unchangedExit77 ? UNCHANGED : 0;
  }
  const { requests, bytes, objects } = result.pull;
  if (!ctx.json) {
    if (requests > 0) ctx.print(`Fetched ${size(bytes)} in ${requests} requests (${objects} objects)`);
    const what = deployment === null ? 'Downloaded' : deployment.staged ? 'Staged' : 'Deployed';
    ctx.print(`${what}: ${named(from)} -> ${named(to)}`);
    for (const line of await changesLines(await changesOf(sysroot, result))) ctx.print(line);
    if (deployment?.finalizationLocked) {
      ctx.print(`Locked until: atomic host finalize-deployment ${deployment.checksum}`);
    }
  }
  warnOfNotes(ctx, result);
  await warnOfConflicts(ctx, sysroot, deployment);
  await warnOfBad(ctx, sysroot, deployment);
  if (deployment !== null && !deployment.finalizationLocked) await next(ctx, sysroot, options.reboot);
  return 0;
}
