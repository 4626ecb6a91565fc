import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { FileLock } from '@atomic/linux';
import { type Checksum, isChecksum } from '@atomic/ostree';
import { fieldsOf, listOf, readJson, type Stored, stateFolder, textOf, writeJson } from '../health/files.ts';
import type { Sysroot } from '../sysroot.ts';
import type { Rollout } from './rollout.ts';

/** A commit as it was seen at a server. */
export interface Candidate {
  checksum: Checksum;
  version: string | null;
  /** Unix seconds, as all times here. */
  timestamp: number;
  rollout: Rollout;
  /** This host's place in it, by the hash. */
  place: number;
  /** Nothing newer may be taken before this has run. */
  barrier: boolean;
}

/** What automatic updates remember from one run to the next. Lost, it costs a look at the server and a hold. */
export interface UpdatesState {
  /** The last look at the server, however it ended. */
  checked: number | null;
  /** The last that succeeded. */
  succeeded: number | null;
  /** What failed, how often in a row, and when last. */
  trouble: { doing: 'check' | 'stage'; times: number; at: number; error: string } | null;
  /** What the machine ran when it looked. */
  base: Checksum | null;
  /** What is newer than that, newest first. */
  candidates: Candidate[];
  /** What the branch's newest commit says of its end. */
  endOfLife: string | null;
  /** Commits the administrator went back from: nothing for an automatic update. */
  left: Checksum[];
  /** Commits that somebody cleared: they may be taken, though the machine went back from them. */
  pardoned: Checksum[];
  /** Since when people or inhibitors put off the reboot into this commit. */
  blocked: { checksum: Checksum; since: number } | null;
  /** Reboots into a commit that did not come up with it. */
  attempts: { checksum: Checksum; times: number } | null;
  /** A reboot that was announced, in which boot. */
  scheduled: { checksum: Checksum; at: number; boot: string } | null;
  /** Nothing happens by itself until then; `until: null` has no end. */
  hold: { until: number | null; why: string } | null;
}

/** So many commits are kept in each list: branches move on. */
export const MOST_COMMITS = 16;

export const FRESH_STATE: UpdatesState = {
  checked: null,
  succeeded: null,
  trouble: null,
  base: null,
  candidates: [],
  endOfLife: null,
  left: [],
  pardoned: [],
  blocked: null,
  attempts: null,
  scheduled: null,
  hold: null,
};

/** Where the state of a system lies: /var/lib/atomic/updates.json when it runs. */
export const updatesStatePath = (sysroot: Sysroot, os: string): string => `${stateFolder(sysroot, os)}/updates.json`;

type Fields = ReadonlyMap<string, unknown>;
const numberOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;
const checksumOf = (value: unknown): Checksum | null => (typeof value === 'string' && isChecksum(value) ? value : null);

/** What `parse` makes of an object's fields; null for anything else. */
function optional<T>(value: unknown, parse: (fields: Fields) => T | null): T | null {
  const fields = fieldsOf(value);
  return fields === null ? null : parse(fields);
}

function parseCandidate(value: unknown): Candidate | null {
  const fields = fieldsOf(value);
  const rollout = fieldsOf(fields?.get('rollout'));
  const checksum = checksumOf(fields?.get('checksum'));
  const timestamp = numberOf(fields?.get('timestamp'));
  const place = numberOf(fields?.get('place'));
  const curve = listOf(rollout?.get('curve'), (corner): [number, number] | null => {
    if (!Array.isArray(corner)) return null;
    const [seconds, share] = corner.map(numberOf);
    return typeof seconds === 'number' && typeof share === 'number' ? [seconds, share] : null;
  });
  if (fields === null || rollout === null || checksum === null || timestamp === null) return null;
  if (place === null || curve === null) return null;
  return {
    checksum,
    version: textOf(fields.get('version')),
    timestamp,
    rollout: { start: numberOf(rollout.get('start')), paused: rollout.get('paused') !== false, curve },
    place,
    barrier: fields.get('barrier') === true,
  };
}

/** Reads what {@link changeUpdatesState} wrote; parts that make no sense count as not there. */
function parseState(value: unknown): UpdatesState | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const part = <T>(name: string, parse: (inner: Fields) => T | null) => optional(fields.get(name), parse);
  return {
    checked: numberOf(fields.get('checked')),
    succeeded: numberOf(fields.get('succeeded')),
    trouble: part('trouble', (inner) => {
      const doing = inner.get('doing');
      const [times, at, error] = [numberOf(inner.get('times')), numberOf(inner.get('at')), textOf(inner.get('error'))];
      if ((doing !== 'check' && doing !== 'stage') || times === null || at === null) return null;
      return { doing, times, at, error: error ?? '' };
    }),
    base: checksumOf(fields.get('base')),
    candidates: listOf(fields.get('candidates'), parseCandidate) ?? [],
    endOfLife: textOf(fields.get('endOfLife')),
    left: listOf(fields.get('left'), checksumOf) ?? [],
    pardoned: listOf(fields.get('pardoned'), checksumOf) ?? [],
    blocked: part('blocked', (inner) => {
      const [checksum, since] = [checksumOf(inner.get('checksum')), numberOf(inner.get('since'))];
      return checksum === null || since === null ? null : { checksum, since };
    }),
    attempts: part('attempts', (inner) => {
      const [checksum, times] = [checksumOf(inner.get('checksum')), numberOf(inner.get('times'))];
      return checksum === null || times === null ? null : { checksum, times };
    }),
    scheduled: part('scheduled', (inner) => {
      const [checksum, at, boot] = [
        checksumOf(inner.get('checksum')),
        numberOf(inner.get('at')),
        textOf(inner.get('boot')),
      ];
      return checksum === null || at === null || boot === null ? null : { checksum, at, boot };
    }),
    // A hold whose end cannot be read has none: not updating is the safer mistake.
    hold: part('hold', (inner) => ({ until: numberOf(inner.get('until')), why: textOf(inner.get('why')) ?? '' })),
  };
}

const read = (sysroot: Sysroot, os: string): Stored<UpdatesState> =>
  readJson(updatesStatePath(sysroot, os), parseState);

/** Reads the state; what cannot be understood counts as none. */
export function loadUpdatesState(sysroot: Sysroot, os: string): UpdatesState {
  const stored = read(sysroot, os);
  return stored.kind === 'there' ? stored.value : FRESH_STATE;
}

/** Changes the state as it is then: what other processes wrote in the meantime stays. */
export async function changeUpdatesState(
  sysroot: Sysroot,
  os: string,
  change: (state: UpdatesState) => UpdatesState,
): Promise<UpdatesState> {
  const path = updatesStatePath(sysroot, os);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  using _lock = await FileLock.acquire(`${path}.lock`, 'exclusive');
  const stored = read(sysroot, os);
  const before = stored.kind === 'there' ? stored.value : FRESH_STATE;
  const after = change(before);
  if (JSON.stringify(after) !== JSON.stringify(before)) writeJson(path, after, stored.kind);
  return after;
}

/** Lets automatic updates take commits again that somebody, or the health checks, went back from. */
export async function pardonCommits(sysroot: Sysroot, os: string, checksums: readonly Checksum[]): Promise<void> {
  if (checksums.length === 0) return;
  await changeUpdatesState(sysroot, os, (state) => ({
    ...state,
    left: state.left.filter((one) => !checksums.includes(one)),
    pardoned: [...new Set([...state.pardoned, ...checksums])].slice(-MOST_COMMITS),
    attempts: state.attempts !== null && checksums.includes(state.attempts.checksum) ? null : state.attempts,
  }));
}
