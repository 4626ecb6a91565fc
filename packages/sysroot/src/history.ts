import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { uptime } from 'node:os';
import { dirname } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { replaceFile } from '@atomic/ostree';
import type { Deployment } from './deployment.ts';
import { fieldsOf, stateFolder, textOf } from './health/files.ts';
import { deploymentName } from './layout.ts';
import { originFollows } from './origin.ts';
import type { Sysroot } from './sysroot.ts';

/**
 * The history of a system: one JSON object a line in /var/lib/atomic/history.jsonl, only ever added to. A line torn by a
 * power cut is passed over, and the next one begins on a line of its own.
 */
export interface HistoryRecord {
  /** `deploy`: it was made (or staged); `boot`: it was started; `rollback`: it was made the first again. */
  event: 'deploy' | 'boot' | 'rollback';
  /** Unix seconds. */
  time: number;
  /** `OS-CHECKSUM.SERIAL`, as in status. */
  id: string;
  osname: string;
  checksum: string;
  serial: number;
  version?: string | undefined;
  /** Of the commit, Unix seconds. */
  timestamp: number;
  origin?: string | undefined;
  /** What was asked for, as it was typed. */
  command?: string | undefined;
  /** Why, where nobody asked. */
  reason?: string | undefined;
  /** Of a boot: its ID, and when the deployment came to be as far as the disk tells. */
  boot?: string | undefined;
  created?: number | undefined;
}

/** A stay on one deployment: boots of it with no other in between. */
export interface HistoryEntry {
  deployment: HistoryRecord;
  /** When and how it came to be; undefined when no record is left. */
  created: number | undefined;
  command: string | undefined;
  reason: string | undefined;
  boots: number;
  firstBoot: number;
  lastBoot: number;
}

/** Above this many bytes the older half is dropped: some thousand records. */
const MAX_BYTES = 1 << 20;

const pathOf = (sysroot: Sysroot, os: string) => `${stateFolder(sysroot, os)}/history.jsonl`;

const EVENTS: readonly unknown[] = ['deploy', 'boot', 'rollback'] satisfies HistoryRecord['event'][];
const isEvent = (value: unknown): value is HistoryRecord['event'] => EVENTS.includes(value);

function parseRecord(line: string): HistoryRecord | null {
  let fields: Map<string, unknown> | null;
  try {
    fields = fieldsOf(JSON.parse(line));
  } catch {
    return null;
  }
  const number = (name: string): number | undefined => {
    const value = fields?.get(name);
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
  };
  const text = (name: string): string | undefined => textOf(fields?.get(name)) ?? undefined;
  const event = fields?.get('event');
  const [time, serial, timestamp] = [number('time'), number('serial'), number('timestamp')];
  const [id, osname, checksum] = [text('id'), text('osname'), text('checksum')];
  if (!isEvent(event) || time === undefined || serial === undefined || timestamp === undefined) return null;
  if (id === undefined || osname === undefined || checksum === undefined) return null;
  return {
    event,
    time,
    id,
    osname,
    checksum,
    serial,
    timestamp,
    version: text('version'),
    origin: text('origin'),
    command: text('command'),
    reason: text('reason'),
    boot: text('boot'),
    created: number('created'),
  };
}

/** The records of a system, oldest first. */
export function readHistory(sysroot: Sysroot, os: string): HistoryRecord[] {
  let text: string;
  try {
    text = readFileSync(pathOf(sysroot, os), 'utf8');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => parseRecord(line) ?? []);
}

function append(path: string, line: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const fd = openSync(path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o644);
  let size: number;
  try {
    ({ size } = fstatSync(fd));
    const last = Buffer.alloc(1);
    const torn = size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last.toString() !== '\n';
    writeSync(fd, `${torn ? '\n' : ''}${line}\n`);
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
  if (size <= MAX_BYTES) return;
  const text = readFileSync(path, 'utf8');
  replaceFile(path, text.slice(text.indexOf('\n', text.length / 2) + 1), { mode: 0o644 });
}

const now = () => Math.floor(Date.now() / 1000);

const about = (deployment: Deployment) => ({
  id: `${deployment.os}-${deploymentName(deployment)}`,
  osname: deployment.os,
  checksum: deployment.checksum,
  serial: deployment.serial,
  version: deployment.version,
  timestamp: deployment.timestamp,
  origin: originFollows(deployment.origin),
});

/**
 * Notes how a deployment came to be, or to be first again. Nothing that was asked for fails because this cannot be
 * written (a full disk).
 */
export function noteHistory(
  sysroot: Sysroot,
  deployment: Deployment,
  event: 'deploy' | 'rollback',
  reason?: string,
): void {
  const record: HistoryRecord = { event, time: now(), ...about(deployment), command: sysroot.title, reason };
  try {
    append(pathOf(sysroot, deployment.os), JSON.stringify(record));
  } catch (error) {
    if (errnoCode(error) === undefined) throw error;
  }
}

/**
 * Notes which deployment this boot started; run once in every boot. Returns its record, null when this boot is noted
 * already or the system does not run from a deployment.
 */
export function noteBoot(sysroot: Sysroot, bootId: string): HistoryRecord | null {
  const { booted } = sysroot.load();
  if (booted === null) return null;
  if (readHistory(sysroot, booted.os).some(({ boot }) => boot === bootId)) return null;
  const record: HistoryRecord = {
    event: 'boot',
    time: now() - Math.floor(uptime()),
    ...about(booted),
    boot: bootId,
    created: createdTime(sysroot, booted),
  };
  append(pathOf(sysroot, booted.os), JSON.stringify(record));
  return record;
}

/** When a deployment's tree was made, as far as the file system remembers. */
function createdTime(sysroot: Sysroot, deployment: Deployment): number | undefined {
  const { birthtimeMs } = statSync(sysroot.layout.deployment(deployment));
  return birthtimeMs > 0 ? Math.floor(birthtimeMs / 1000) : undefined;
}

/** The stays on deployments, newest first. */
export function historyEntries(records: readonly HistoryRecord[]): HistoryEntry[] {
  const entries: HistoryEntry[] = [];
  const came = new Map<string, HistoryRecord>();
  for (const record of records) {
    if (record.event !== 'boot') {
      came.set(record.id, record);
      continue;
    }
    const how = came.get(record.id);
    const created = how?.time ?? record.created;
    const last = entries.at(-1);
    if (last?.deployment.id === record.id && last.created === created) {
      last.boots++;
      last.lastBoot = record.time;
      continue;
    }
    entries.push({
      deployment: how ?? record,
      created,
      command: how?.command,
      reason: how?.reason,
      boots: 1,
      firstBoot: record.time,
      lastBoot: record.time,
    });
  }
  return entries.reverse();
}
