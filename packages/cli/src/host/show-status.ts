import { AtomicError } from '@atomic/ostree';
import { lastFinalizeFailure, statusLines, statusReport } from '@atomic/sysroot';
import type { Context } from '../context.ts';
import { trustFromEnvironment } from '../ostree/trust.ts';
import { isTerminal } from '../terminal.ts';
import { look, UNCHANGED } from './common.ts';
import { jsonPath } from './json-path.ts';
import type { StatusOptions } from './status.ts';

const onTerminal = {
  bold: (text: string) => `\x1b[1m${text}\x1b[0m`,
  alarm: (text: string) => `\x1b[31m\x1b[1m${text}\x1b[22m\x1b[0m`,
};

/** Prints what `atomic host status` prints; `locks` is the kernel's list of them. Returns the exit status. */
export async function showStatus(ctx: Context, options: StatusOptions, locks: Promise<string>): Promise<number> {
  if (ctx.json && options.jsonpath !== undefined) {
    throw new AtomicError('usage', 'Cannot specify both --json and --jsonpath');
  }
  const sysroot = await look(options);
  const state = sysroot.load();
  const trust = trustFromEnvironment();
  const report = await statusReport(sysroot, { state, os: options.os, trust, locks, signal: ctx.signal });
  if (ctx.json || options.jsonpath !== undefined) {
    const { json } = report;
    if (options.booted) json.deployments = json.deployments.filter((deployment) => deployment.booted);
    if (options.jsonpath === undefined) ctx.printJson(json);
    else ctx.printJson(jsonPath(json, options.jsonpath));
  } else {
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
}
