import { AtomicError } from '@atomic/ostree';
import { deploymentAt } from '../arrange.ts';
import type { Deployment } from '../deployment.ts';
import {
  appendKargs,
  deleteKarg,
  formatKargs,
  kargsFromCommandLine,
  parseKargs,
  replaceKargValue,
  withoutKarg,
} from '../kargs.ts';
import type { Sysroot } from '../sysroot.ts';
import { nextDeployment, type RedeployOptions, redeploy } from './redeploy.ts';

/** Changes of kernel arguments, in the order they are made (`rpm-ostree kargs`). */
export interface KargsEdits {
  delete?: readonly string[] | undefined;
  /** KEY=NEW where the key has one value, or KEY=VALUE=NEW. */
  replace?: readonly string[] | undefined;
  append?: readonly string[] | undefined;
  /** Not where exactly this argument is there. */
  appendIfMissing?: readonly string[] | undefined;
  /** Only where exactly this argument is there. */
  deleteIfPresent?: readonly string[] | undefined;
}

/** Throws `invalid` for an argument to delete or replace that is not there, or of which there are several. */
export function editKargs(kargs: readonly string[], edits: KargsEdits): string[] {
  const all = (texts: readonly string[] | undefined) => (texts ?? []).flatMap(parseKargs);
  let now = [...kargs];
  for (const text of all(edits.delete)) now = deleteKarg(now, text);
  for (const text of all(edits.replace)) now = replaceKargValue(now, text);
  now = appendKargs(now, edits.append ?? []);
  for (const text of all(edits.appendIfMissing)) if (!now.includes(text)) now.push(text);
  for (const text of all(edits.deleteIfPresent)) if (now.includes(text)) now = deleteKarg(now, text);
  return now;
}

/** Which arguments a change starts from. */
export interface KargsSource {
  os?: string | undefined;
  /** Place in the boot order; default: what would boot next. */
  index?: number | undefined;
  /** Text of /proc/cmdline, to start from what the running kernel was given. */
  commandLine?: string | undefined;
}

/** The arguments a change would start from, `ostree=` among them. Throws `not-found`. */
export function currentKargs(sysroot: Sysroot, source: KargsSource = {}): string[] {
  if (source.commandLine !== undefined) return kargsFromCommandLine(source.commandLine);
  if (source.index !== undefined) return deploymentAt(sysroot.load(), source.index).commandLine;
  return nextDeployment(sysroot, source.os).commandLine;
}

export interface KargsResult {
  changed: boolean;
  before: string[];
  after: string[];
  deployment: Deployment | null;
}

/**
 * Gives the next deployment other kernel arguments: `edit` is told the present ones. With `expect`, throws `invalid`
 * when they are not these any more (they were being edited by hand).
 */
export async function changeKargs(
  sysroot: Sysroot,
  edit: (kargs: readonly string[]) => string[],
  options: RedeployOptions & KargsSource & { expect?: readonly string[] | undefined } = {},
): Promise<KargsResult> {
  using _lock = await sysroot.lock(options);
  const before = withoutKarg(currentKargs(sysroot, options), 'ostree');
  const same = (a: readonly string[], b: readonly string[]) => formatKargs(a) === formatKargs(b);
  if (options.expect !== undefined && !same(before, options.expect)) {
    throw new AtomicError(
      'invalid',
      `Conflict: bootloader configuration changed. Saved kernel arguments: \n${formatKargs(edit(before))}`,
    );
  }
  const after = withoutKarg(edit(before), 'ostree');
  const bad = after.find((karg) => /[\n\r\0]/.test(karg));
  if (bad !== undefined) throw new AtomicError('invalid', `'${bad}' is no kernel argument: it has a line break in it`);
  if (same(before, after) && same(after, nextDeployment(sysroot, options.os).kargs)) {
    return { changed: false, before, after, deployment: null };
  }
  const deployment = await redeploy(sysroot, { kargs: after }, options);
  return { changed: true, before, after, deployment };
}
