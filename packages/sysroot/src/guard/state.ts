import { isChecksum } from '@atomic/ostree';
import { fieldsOf, listOf, readJson, stateFolder, textOf, writeJson } from '../health/files.ts';
import type { DeploymentId } from '../layout.ts';
import type { Sysroot } from '../sysroot.ts';

/** A boot entry as it was. */
export interface TryEntry extends DeploymentId {
  kargs: string[];
  origin: string | null;
}

/** A change on trial, as it is kept on disk. */
export interface Trying {
  id: string;
  /** Unix time, milliseconds. */
  started: number;
  timeoutSeconds: number;
  command: string[];
  /** What ran when it began. */
  booted: DeploymentId;
  /** The boot entries at that time, in order, with their arguments and origins. */
  entries: TryEntry[];
  staged: DeploymentId | null;
  /** A shell command for when it was taken back. */
  onRevert: string | null;
  /** Reboot when it was taken back. */
  reboot: boolean;
  phase: 'pending' | 'confirmed' | 'reverted';
  /** When it was confirmed or taken back. */
  ended: number | null;
  reason: string | null;
}

/** Root's alone: it holds a copy of /etc. */
export const tryFolder = (sysroot: Sysroot, os: string): string => `${stateFolder(sysroot, os)}/try`;

export const savedEtc = (sysroot: Sysroot, os: string): string => `${tryFolder(sysroot, os)}/etc`;

/** The last change tried, whatever became of it; null when there is none. */
export function readTrying(sysroot: Sysroot, { os }: Pick<DeploymentId, 'os'>): Trying | null {
  const stored = readJson(`${tryFolder(sysroot, os)}/state.json`, parseTrying);
  return stored.kind === 'there' ? stored.value : null;
}

export const writeTrying = (sysroot: Sysroot, os: string, state: Trying): void =>
  writeJson(`${tryFolder(sysroot, os)}/state.json`, state);

const PHASES = ['pending', 'confirmed', 'reverted'] as const;
const numberOf = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : null);

function parseId(value: unknown): DeploymentId | null {
  const fields = fieldsOf(value);
  const os = textOf(fields?.get('os'));
  const checksum = textOf(fields?.get('checksum'));
  const serial = numberOf(fields?.get('serial'));
  if (os === null || os.includes('/') || checksum === null || !isChecksum(checksum)) return null;
  return serial === null || !Number.isSafeInteger(serial) || serial < 0 ? null : { os, checksum, serial };
}

function parseEntry(value: unknown): TryEntry | null {
  const id = parseId(value);
  const fields = fieldsOf(value);
  const kargs = listOf(fields?.get('kargs'), textOf);
  return id === null || kargs === null ? null : { ...id, kargs, origin: textOf(fields?.get('origin')) };
}

function parseTrying(value: unknown): Trying | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const id = textOf(fields.get('id'));
  const started = numberOf(fields.get('started'));
  const timeoutSeconds = numberOf(fields.get('timeoutSeconds'));
  const command = listOf(fields.get('command'), textOf);
  const booted = parseId(fields.get('booted'));
  const entries = listOf(fields.get('entries'), parseEntry);
  const phase = PHASES.find((name) => name === fields.get('phase'));
  if (id === null || started === null || timeoutSeconds === null || timeoutSeconds <= 0) return null;
  if (command === null || booted === null || entries === null || phase === undefined) return null;
  return {
    ...{ id, started, timeoutSeconds, command, booted, entries, phase },
    staged: parseId(fields.get('staged')),
    onRevert: textOf(fields.get('onRevert')),
    reboot: fields.get('reboot') === true,
    ended: numberOf(fields.get('ended')),
    reason: textOf(fields.get('reason')),
  };
}
