import { rmSync } from 'node:fs';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { type Checksum, isChecksum } from '@atomic/ostree';
import type { SysrootState } from '../deployment.ts';
import { fieldsOf, readJson, stateFolder, textOf, writeJson } from '../health/files.ts';
import { writeMotd } from '../motd.ts';
import type { Sysroot } from '../sysroot.ts';
import { hasRequests, packageName, type Requests, readRequests } from './requests.ts';

/** Why a system does not get newer versions of its base: what is layered does not go onto them. */
export interface LayersStuck {
  /** Unix seconds: when it first failed. */
  since: number;
  /** The last base that was tried. */
  base: Checksum;
  version: string | undefined;
  reason: string;
  /** What takes the requests that are in the way back, and goes on: a command for each choice. */
  drop: string[];
}

type Stored = Omit<LayersStuck, 'drop'>;

const fileOf = (sysroot: Sysroot, os: string) => `${stateFolder(sysroot, os)}/layers-stuck.json`;

function parse(value: unknown): Stored | null {
  const fields = fieldsOf(value);
  const [base, reason] = [textOf(fields?.get('base')), textOf(fields?.get('reason'))];
  const since = fields?.get('since');
  if (base === null || !isChecksum(base) || reason === null || typeof since !== 'number') return null;
  return { since, base, reason, version: textOf(fields?.get('version')) ?? undefined };
}

function read(sysroot: Sysroot, os: string): Stored | null {
  const stored = readJson(fileOf(sysroot, os), parse);
  return stored.kind === 'there' ? stored.value : null;
}

/** Notes that requests do not go onto a base; it counts from the first time. Never fails for a full disk. */
export function noteStuck(sysroot: Sysroot, os: string, what: Omit<Stored, 'since'>): void {
  const since = read(sysroot, os)?.since ?? Math.floor(Date.now() / 1000);
  try {
    writeJson(fileOf(sysroot, os), { ...what, since });
    writeStuckMotd(sysroot);
  } catch (error) {
    if (errnoCode(error) === undefined) throw error;
  }
}

/** It went well, or nothing is asked for any more. */
export function clearStuck(sysroot: Sysroot, os: string): void {
  if (read(sysroot, os) === null) return;
  rmSync(fileOf(sysroot, os), { force: true });
  fsyncPath(stateFolder(sysroot, os));
  writeStuckMotd(sysroot);
}

/** Shows at login that the running system is stuck; /run forgets it, so every boot does it again. */
export function writeStuckMotd(sysroot: Sysroot): void {
  const state = sysroot.load();
  if (state.booted === null) return;
  const stuck = layersStuck(sysroot, state.booted.os, state);
  writeMotd(
    sysroot.run,
    '86-atomic-layers',
    stuck === null ? null : [`Updates are ${stuckLine(stuck)}`, 'See: atomic host status'],
  );
}

/** Commands that leave out what the reason names; all of the requests where it names none of them. */
export function dropCommands(requests: Requests, reason: string): string[] {
  const words = new Set(reason.split(/[^\w+.@/-]+/).map((word) => word.replace(/[.:-]+$/, '')));
  const named = (name: string) => words.has(name) || words.has(packageName(name));
  const choose = (all: readonly string[]) => all.filter(named);
  const packages = [...requests.install, ...[...requests.local, ...requests.localFileOverride].map(({ name }) => name)];
  const overrides = [
    ...requests.remove,
    ...requests.replace.map(({ name }) => name),
    ...requests.replaceFrom.flatMap((one) => one.packages),
  ];
  const some = choose(packages).length + choose(overrides).length > 0;
  const [ours, theirs] = some ? [choose(packages), choose(overrides)] : [packages, overrides];
  const quote = (name: string) => packageName(name).replace(/[^\w@%+=:,./-]/g, '?');
  return [
    ...(ours.length === 0 ? [] : [`atomic host upgrade ${ours.map((name) => `--uninstall=${quote(name)}`).join(' ')}`]),
    ...(theirs.length === 0 ? [] : [`atomic host override reset ${theirs.map(quote).join(' ')}`]),
  ];
}

/** Why a system is stuck, or null. */
export function layersStuck(sysroot: Sysroot, os: string, state: SysrootState): LayersStuck | null {
  const next = state.deployments.find((deployment) => deployment.os === os);
  if (next === undefined) return null;
  const requests = readRequests(next.origin);
  // Most machines have none, and are not to read a file for it.
  if (!hasRequests(requests)) return null;
  const stored = read(sysroot, os);
  if (stored === null || next.base === stored.base) return null;
  return { ...stored, drop: dropCommands(requests, stored.reason) };
}

const date = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC`;

/** One line for people. What a package manager says goes to terminals: control characters are taken out. */
export function stuckLine({ since, base, version, reason }: LayersStuck): string {
  const clean = reason.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ');
  return `stuck since ${date(since)} before ${version ?? base.slice(0, 10)}, because ${clean}`;
}
