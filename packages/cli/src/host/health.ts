import type { BootResult, CheckResult, HealthReport, Sysroot } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, type HostOptions, look, named, open, osOption, running } from './common.ts';

interface CheckFlags extends HostOptions {
  boot?: boolean;
}
interface MarkFlags extends HostOptions {
  reason?: string;
}
interface ClearFlags extends HostOptions {
  all?: boolean;
}

const indent = (text: string): string => text.replaceAll(/^/gm, '      ');

/** A check for people: its mark, its name, and what it said when it is not well. */
function checkLines({ name, required, state, seconds, output }: CheckResult, verbose: boolean): string[] {
  const mark = { ok: '✓', failed: '✗', 'timed-out': '✗', skipped: '-' }[state];
  const time = seconds >= 1 ? ` (${Math.round(seconds)} s)` : '';
  const lines = [`  ${mark} ${name}${required ? '' : ' [wanted]'}${state === 'ok' ? '' : `: ${state}`}${time}`];
  if (output !== '' && (verbose || state !== 'ok')) lines.push(indent(output));
  return lines;
}

function printResult(ctx: Context, result: BootResult): void {
  const { checks } = result;
  for (const check of checks) for (const line of checkLines(check, ctx.verbose)) ctx.print(line);
  if (checks.length === 0) ctx.print('  no checks: nothing is declared, and nothing is known to have been up before');
}

function printReport(ctx: Context, report: HealthReport): void {
  ctx.print(`Health: ${report.summary}`);
  const { last, trial } = report;
  if (trial !== null && trial.state !== 'trying') {
    const { output, lastWords } = trial.failure;
    if (output !== undefined && output !== '') ctx.print(indent(output));
    if (lastWords !== undefined) ctx.print(`  The kernel's last words:\n${indent(lastWords)}`);
  }
  if (last !== null) {
    ctx.print(`Last judged boot: ${last.verdict}, ${last.at}, ${named({ ...last.deployment, version: last.version })}`);
    printResult(ctx, last);
  }
  if (report.bad.length > 0) ctx.print('Bad commits:');
  for (const bad of report.bad) {
    ctx.print(`  ${named(bad)}: ${bad.reason}`);
    ctx.print(`    marked ${bad.when} by ${bad.by === 'health' ? 'the health check' : 'an administrator'}`);
    if (bad.output !== undefined && bad.output !== '') ctx.print(indent(bad.output));
    if (bad.lastWords !== undefined) ctx.print(`    The kernel's last words:\n${indent(bad.lastWords)}`);
  }
  if (report.bad.length > 0)
    ctx.print('Automatic upgrades pass these over; allow one again: atomic host health clear COMMIT');
}

/** The system an administrator means: the named one, the one that runs, or the only one. */
async function systemOf(sysroot: Sysroot, options: HostOptions): Promise<string> {
  const { chooseOs } = await import('@atomic/sysroot');
  return chooseOs(sysroot.load(), options.os);
}

/** Adds `atomic host health` and what its units run. */
export function register(host: Command): void {
  const health = add(host, 'health', 'show whether the machine is well, and which versions were not', [
    "atomic host health                     the last boot's checks, and the commits marked bad",
    'atomic host health check               run the checks now',
    'atomic host health clear 12.20240105.0 let upgrades take a version again',
    'atomic host health --json | jq .state',
  ])
    .addOption(osOption(host))
    .action(
      action(async (ctx, options: HostOptions) => {
        const { healthReport } = await import('@atomic/sysroot');
        const sysroot = await look(options);
        const report = healthReport(sysroot, sysroot.load(), options.os);
        if (ctx.json) ctx.printJson(report);
        else printReport(ctx, report);
      }),
    );

  // Its own options are taken by the command above, wherever they stand.
  const all = <T extends HostOptions>(options: T): T => ({ ...options, ...health.opts<HostOptions>() });

  add(health, 'check', 'run the checks now (exit status 1: a required one failed)', [
    'atomic host health check',
    'atomic host health check --json | jq .verdict',
  ])
    .addOption(health.createOption('--boot', 'judge this boot by them; run by atomic-health-check.service').hideHelp())
    .action(
      action(async (ctx, options: CheckFlags) => {
        const { checkNow, judgeBoot } = await import('@atomic/sysroot');
        const sysroot = await (options.boot ? open : look)(all(options));
        const log = (line: string) => ctx.print(line);
        const judged = options.boot ? await judgeBoot(sysroot, { ...running(ctx), log }) : null;
        if (options.boot && judged === null) {
          ctx.print('this is no running system: nothing to judge');
          return 0;
        }
        const result = judged?.result ?? (await checkNow(sysroot, running(ctx)));
        if (ctx.json) ctx.printJson(result);
        else {
          printResult(ctx, result);
          ctx.print(result.verdict === 'green' ? 'Health: green' : 'Health: red');
        }
        return result.verdict === 'green' ? 0 : 1;
      }),
    );

  add(health, 'mark-bad', 'keep automatic upgrades from a commit', [
    'atomic host health mark-bad 12.20240105.0 --reason "printer does not print"',
    'atomic host health mark-bad CHECKSUM',
  ])
    .addOption(osOption(host))
    .argument('<commit>', 'a commit checksum, or the version of a deployment')
    .option('--reason <text>', 'why, for those who read it later')
    .action(
      action(async (ctx, commit: string, options: MarkFlags) => {
        const { markBad } = await import('@atomic/sysroot');
        const { AtomicError, isChecksum } = await import('@atomic/ostree');
        const sysroot = await open(all(options));
        const os = await systemOf(sysroot, all(options));
        const deployed = sysroot
          .load()
          .deployments.find((one) => one.os === os && (one.version === commit || one.checksum === commit));
        const checksum = deployed?.checksum ?? commit;
        if (!isChecksum(checksum)) {
          throw new AtomicError('not-found', `'${commit}' is neither a deployed version nor a commit checksum`, {
            hint: 'see: atomic host status',
          });
        }
        const version = deployed?.version ?? sysroot.commitFacts(checksum).version;
        const reason = (options.reason ?? 'marked by an administrator').replaceAll(/\s+/g, ' ').slice(0, 500);
        const bad = { checksum, version, reason, when: new Date().toISOString(), by: 'administrator' as const };
        await markBad(sysroot, os, bad, running(ctx));
        if (ctx.json) ctx.printJson(bad);
        else ctx.print(`Marked bad: ${named(bad)}`);
      }),
    );

  add(health, 'clear', 'allow upgrades to take a commit again', [
    'atomic host health clear 12.20240105.0',
    'atomic host health clear --all',
  ])
    .addOption(osOption(host))
    .argument('[commit]', 'a commit checksum, the beginning of one, or a version')
    .option('--all', 'every commit that is marked bad')
    .action(
      action(async (ctx, commit: string | undefined, options: ClearFlags) => {
        const { clearBad } = await import('@atomic/sysroot');
        const { AtomicError } = await import('@atomic/ostree');
        if ((commit === undefined) === (options.all !== true)) {
          throw new AtomicError('usage', 'name one commit, or all of them with --all');
        }
        const sysroot = await open(all(options));
        const cleared = await clearBad(sysroot, await systemOf(sysroot, all(options)), commit ?? null, running(ctx));
        if (ctx.json) ctx.printJson(cleared);
        else if (cleared.length === 0) ctx.print('No commit is marked bad');
        else for (const one of cleared) ctx.print(`Cleared: ${named(one)}`);
      }),
    );

  const hidden = (name: string, description: string) =>
    health.command(name, { hidden: true }).description(description).option('--sysroot <path>');
  hidden('begin', 'count this boot, and see what became of the last one; run by atomic-health-begin.service').action(
    action(async (ctx, options: HostOptions) => {
      const { healthBegin } = await import('@atomic/sysroot');
      await healthBegin(await open(all(options)), { ...running(ctx), log: (line) => ctx.print(line) });
    }),
  );
  hidden('expire', 'give up what is on trial; run by atomic-health-deadline.service').action(
    action(async (ctx, options: HostOptions) => {
      const { healthExpire } = await import('@atomic/sysroot');
      await healthExpire(await open(all(options)), { ...running(ctx), log: (line) => ctx.print(line) });
    }),
  );
  hidden('record', 'keep what is up now; run at a shutdown that switches').action(
    action(async (_ctx, options: HostOptions) => {
      const { recordHealth } = await import('@atomic/sysroot');
      await recordHealth(await look(all(options)));
    }),
  );
}
