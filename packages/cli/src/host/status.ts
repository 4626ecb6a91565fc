import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, look, osOption, UNCHANGED } from './common.ts';

interface StatusOptions extends HostOptions {
  booted?: boolean;
  advisories?: boolean;
  jsonpath?: string;
  pendingExit77?: boolean;
}

const onTerminal = {
  bold: (text: string) => `\x1b[1m${text}\x1b[0m`,
  alarm: (text: string) => `\x1b[31m\x1b[1m${text}\x1b[22m\x1b[0m`,
};

/** Adds `atomic host status`. */
export function register(host: Command): void {
  add(host, 'status', 'get the version of the booted system, and the others', [
    'atomic host status',
    'atomic host status --json | jq .deployments[0].version',
    "atomic host status --jsonpath='$.deployments[*].checksum'",
  ])
    .addOption(osOption(host))
    .option('-b, --booted', 'only print the booted deployment')
    .option('-a, --advisories', 'list security advisories one by one')
    .option('-J, --jsonpath <expression>', 'only what this JSONPath picks, as a JSON list')
    .option('--pending-exit-77', 'exit with status 77 when something boots next that does not run now')
    .action(
      action(async (ctx, options: StatusOptions) => {
        const { lastFinalizeFailure, statusLines, statusReport } = await import('@atomic/sysroot');
        const { AtomicError } = await import('@atomic/ostree');
        if (ctx.json && options.jsonpath !== undefined) {
          throw new AtomicError('usage', 'Cannot specify both --json and --jsonpath');
        }
        const { trustFromEnvironment } = await import('../ostree/trust.ts');
        const sysroot = await look(options);
        const state = sysroot.load();
        const trust = trustFromEnvironment();
        const report = await statusReport(sysroot, { state, os: options.os, trust, signal: ctx.signal });
        if (ctx.json || options.jsonpath !== undefined) {
          const { json } = report;
          if (options.booted) json.deployments = json.deployments.filter((deployment) => deployment.booted);
          if (options.jsonpath === undefined) ctx.printJson(json);
          else {
            const { jsonPath } = await import('./json-path.ts');
            ctx.printJson(jsonPath(json, options.jsonpath));
          }
        } else {
          const { isTerminal } = await import('../terminal.ts');
          const terminal = isTerminal(1);
          const lines = statusLines(report, {
            booted: options.booted,
            verbose: ctx.verbose,
            advisories: options.advisories,
            ...(terminal ? { columns: process.stdout.columns } : {}),
            ...(terminal && !process.env['NO_COLOR'] ? { style: onTerminal } : {}),
          });
          for (const line of lines) ctx.print(line);
        }
        const failure = lastFinalizeFailure(sysroot);
        if (failure !== null) ctx.warn(`warning: the last upgrade was not switched to at shutdown: ${failure}`);
        return options.pendingExit77 && state.deployments.some(({ pending }) => pending) ? UNCHANGED : 0;
      }),
    );
}
