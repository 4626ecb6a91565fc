import { execFile } from 'node:child_process';
import { lstatSync, readlinkSync, type Stats } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { baseDeployment, chooseOs } from './change/change.ts';
import type { Deployment } from './deployment.ts';
import { diffEtc } from './etc-merge.ts';
import type { Sysroot } from './sysroot.ts';

export interface ConfigDiffOptions {
  /** Which system (stateroot); default: the booted one, else the only one. */
  os?: string | undefined;
  /** Only these paths below /etc (with or without that in front), and what is in them. */
  paths?: readonly string[] | undefined;
  /** Also how each file differs. */
  content?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** How the /etc of a deployment has drifted from what its tree came with. Paths are relative to /etc. */
export interface ConfigDiff {
  deployment: Deployment;
  added: string[];
  changed: string[];
  removed: string[];
  /** By path: a unified diff, and before it what else is different (kind, owner, mode). Only with `content`. */
  content?: Map<string, string>;
}

const shown = (path: string) => Buffer.from(path, 'latin1').toString();
const relative = (path: string) => path.replace(/^\/?etc(\/|$)/, '').replace(/^\/+|\/+$/g, '');

/** Compares a deployment's /etc with its defaults: what runs, or else what would boot. Throws `not-found`. */
export async function configDiff(sysroot: Sysroot, options: ConfigDiffOptions = {}): Promise<ConfigDiff> {
  const state = sysroot.load();
  const os = chooseOs(state, options.os);
  const deployment = state.booted?.os === os ? state.booted : baseDeployment(state, os);
  const tree = sysroot.layout.deployment(deployment);
  const [defaults, current] = [`${tree}/usr/etc`, `${tree}/etc`];
  const only = options.paths?.map(relative).filter((path) => path !== '') ?? [];
  const wanted = (path: string) =>
    only.length === 0 || only.some((prefix) => shown(path) === prefix || shown(path).startsWith(`${prefix}/`));
  const diff = diffEtc(defaults, current);
  const [added, changed, removed] = [diff.added, diff.modified, diff.removed].map((list) => list.filter(wanted));
  const result: ConfigDiff = {
    deployment,
    added: (added ?? []).map(shown),
    changed: (changed ?? []).map(shown),
    removed: (removed ?? []).map(shown),
  };
  if (options.content !== true) return result;
  result.content = new Map();
  for (const path of [...(changed ?? []), ...(added ?? []), ...(removed ?? [])].sort()) {
    options.signal?.throwIfAborted();
    const name = shown(path);
    // A name that is no text cannot be handed to another program.
    if (Buffer.from(name).toString('latin1') !== path) continue;
    result.content.set(name, await explainFile(defaults, current, name, options.signal));
  }
  return result;
}

function look(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

const kindOf = (stat: Stats) =>
  stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : stat.isSymbolicLink() ? 'symlink' : 'special file';
const modeOf = (stat: Stats) => (stat.mode & 0o7777).toString(8).padStart(4, '0');

async function explainFile(
  defaults: string,
  current: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const [from, to] = [`${defaults}/${name}`, `${current}/${name}`];
  const [a, b] = [look(from), look(to)];
  let text = '';
  if (a !== null && b !== null) {
    if (kindOf(a) !== kindOf(b)) text += `${kindOf(a)} -> ${kindOf(b)}\n`;
    if (a.uid !== b.uid || a.gid !== b.gid) text += `owner ${a.uid}:${a.gid} -> ${b.uid}:${b.gid}\n`;
    if (modeOf(a) !== modeOf(b) && !b.isSymbolicLink()) text += `mode ${modeOf(a)} -> ${modeOf(b)}\n`;
  }
  if (a?.isSymbolicLink()) text += `-> ${readlinkSync(from)}\n`.replace(/^/, '-');
  if (b?.isSymbolicLink()) text += `-> ${readlinkSync(to)}\n`.replace(/^/, '+');
  const files = [a?.isFile() === true ? from : '/dev/null', b?.isFile() === true ? to : '/dev/null'];
  if (files.every((file) => file === '/dev/null')) return text;
  const labels = [a === null ? '/dev/null' : `usr/etc/${name}`, b === null ? '/dev/null' : `etc/${name}`];
  return text + (await unifiedDiff(files, labels, signal));
}

/** What diff(1) says of two files. Throws `not-found` without it, `failed`. */
async function unifiedDiff(
  files: readonly string[],
  labels: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const args = ['LC_ALL=C', 'diff', '-u', ...labels.flatMap((label) => ['--label', label]), '--', ...files];
  return await new Promise((resolve, reject) => {
    execFile('env', args, { signal, maxBuffer: 1 << 26 }, (error, stdout) => {
      // 1: they differ.
      if (error === null || error.code === 1) resolve(stdout);
      else if (error.code === 127) {
        reject(new AtomicError('not-found', 'cannot run diff', { hint: 'install diffutils, or leave out --content' }));
      } else reject(new AtomicError('failed', `diff ${files.join(' ')}: ${error.message}`, { cause: error }));
    });
  });
}
