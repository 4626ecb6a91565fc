import { createHash } from 'node:crypto';
import { AtomicError, type Checksum, type Metadata, metadataString } from '@atomic/ostree';
import { parseDuration } from '../duration.ts';

/** Metadata of a commit that says how it is rolled out; `atomic.rollout.CHECKSUM` in a summary overrules it. */
export const ROLLOUT_KEY = 'atomic.rollout';

/** When which share of the hosts may take a commit. */
export interface Rollout {
  /** Unix seconds; null: when the commit was made. */
  start: number | null;
  paused: boolean;
  /** Corners of the curve: seconds after the start, share of the hosts. The first is at 0 s, the last at share 1. */
  curve: [seconds: number, share: number][];
}

/** Everybody at once. */
const AT_ONCE: Rollout = { start: 0, paused: false, curve: [[0, 1]] };
/** Nobody, until the publisher says otherwise. */
export const PAUSED: Rollout = { ...AT_ONCE, paused: true };
/** Nothing starts later than in the year 9000. */
const LAST_START = 221_845_392_000;
/** Corners of a slow beginning: a quarter of the hosts in the first half of the time. */
const GENTLE = 16;

/**
 * Reads a roll-out: words such as `start=2026-12-01T06:00Z duration=48h curve=gentle`, or `paused`. The curve is
 * `linear` (the default), `gentle` (a share that grows with the square of the time) or corners: `curve=1h:1,6h:10,2d:100`
 * says which percentage has it when, evenly between. Throws `invalid`: a roll-out nobody understands is for nobody.
 */
export function parseRollout(text: string): Rollout {
  const refuse = (why: string) => new AtomicError('invalid', `roll-out '${text.slice(0, 100)}': ${why}`);
  let start: number | null = null;
  let paused = false;
  let duration = 0;
  let curve = 'linear';
  for (const word of text.trim().split(/\s+/)) {
    const at = word.indexOf('=');
    const value = word.slice(at + 1);
    if (word === 'paused') paused = true;
    else if (word.startsWith('start=')) start = parseTime(value) ?? fail(refuse(`'${value}' is no time`));
    else if (word.startsWith('duration=')) duration = parseDuration(value, 'roll-out');
    else if (word.startsWith('curve=')) curve = value;
    else throw refuse(`'${word}' means nothing here`);
  }
  if (curve === 'linear') return { start, paused, curve: ramp(duration, 1) };
  if (curve === 'gentle') return { start, paused, curve: ramp(duration, GENTLE) };
  const corners: [number, number][] = [[0, 0]];
  for (const corner of curve.split(',')) {
    const [time = '', percent = '', ...more] = corner.split(':');
    const share = Number(percent) / 100;
    if (more.length > 0 || percent === '' || !(share >= 0 && share <= 1)) {
      throw refuse(`'${corner}' is not TIME:PERCENT`);
    }
    const seconds = parseDuration(time, 'roll-out');
    const [lastTime, lastShare] = corners.at(-1) ?? [0, 0];
    if (seconds < lastTime || share < lastShare) throw refuse('its corners go back');
    corners.push([seconds, share]);
  }
  if (corners.at(-1)?.[1] !== 1) throw refuse('its curve does not reach 100');
  return { start, paused, curve: corners };
}

function fail(error: Error): never {
  throw error;
}

function parseTime(text: string): number | null {
  if (/^\d{1,11}$/.test(text)) return Number(text);
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2}))?$/.test(text)) return null;
  const time = Date.parse(text);
  return Number.isNaN(time) ? null : Math.floor(time / 1000);
}

/** A curve to full share; with more than one piece, of the square of the time. */
function ramp(duration: number, pieces: number): Rollout['curve'] {
  if (duration === 0) return AT_ONCE.curve;
  return Array.from({ length: pieces + 1 }, (_, at): [number, number] => {
    const part = at / pieces;
    return [part * duration, pieces === 1 ? part : part * part];
  });
}

/** How a commit is rolled out: what the summary says of it, else what it says itself, else at once. */
export function rolloutOf(checksum: Checksum, commit: Metadata, summary: Metadata | null): Rollout {
  const text =
    (summary === null ? undefined : metadataString(summary, `${ROLLOUT_KEY}.${checksum}`)) ??
    metadataString(commit, ROLLOUT_KEY);
  return text === undefined ? AT_ONCE : parseRollout(text);
}

/**
 * A host's place among all in [0, 1), which nobody can choose: each commit orders the hosts anew, so that the risk of
 * being early goes round.
 */
export function placeOf(machineId: string, checksum: Checksum): number {
  const hash = createHash('sha256').update(`${ROLLOUT_KEY}\0${machineId}\0${checksum}`).digest();
  return hash.readUIntBE(0, 6) / 2 ** 48;
}

/** When a host at `place` may take the commit (Unix seconds); null while the roll-out is paused. */
export function offeredAt(rollout: Rollout, commitTime: number, place: number): number | null {
  const start = rollout.start ?? commitTime;
  // A time that no calendar shows never comes.
  if (rollout.paused || !(Math.abs(start) <= LAST_START)) return null;
  let [before, below] = rollout.curve[0] ?? [0, 1];
  for (const [seconds, share] of rollout.curve) {
    if (share >= place) {
      const part = share === below ? 0 : (place - below) / (share - below);
      return Math.ceil(start + before + Math.max(0, part) * (seconds - before));
    }
    [before, below] = [seconds, share];
  }
  return Math.ceil(start + before);
}
