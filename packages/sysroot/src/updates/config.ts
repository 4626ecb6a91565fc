import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError, KeyFile, replaceFile } from '@atomic/ostree';
import { DropIns } from '../drop-ins.ts';
import { parseDuration } from '../duration.ts';
import { readText } from './read-text.ts';
import { parseWindow, type Window } from './window.ts';
import { localZone, TimeZone } from './zone.ts';

export const POLICIES = ['none', 'check', 'stage', 'apply'] as const;
/** How far a machine goes by itself: nothing, look, fetch and stage, or reboot into it too. */
export type Policy = (typeof POLICIES)[number];

/** What the administrator and the tree want of automatic updates. Times are in seconds. */
export interface UpdatesConfig {
  policy: Policy;
  /** Between two looks at the server. */
  interval: number;
  /** When the machine may reboot by itself; none: at any time. */
  windows: Window[];
  /** Whether downloads wait for a window too. */
  fetchInWindow: boolean;
  /** The machine's time zone, in which times are shown. */
  zone: TimeZone;
  /** This machine's place in every roll-out, instead of one drawn anew for each; 0 is first, 1 last. */
  wariness: number | null;
  /** How long people who are logged in, and inhibitors, may put a reboot off; null: for ever. */
  maxWait: number | null;
  /** Warning that people get before the reboot. */
  grace: number;
  /** Whether to download over connections that cost by volume. */
  metered: boolean;
  /** Whether a drive that is plugged in is looked through for updates. */
  usb: boolean;
  /** Without a successful check for so long the machine is not well. */
  staleAfter: number;
  /** Which file each setting is from; what is not in it has its default. */
  sources: Map<string, string>;
  /** Settings nobody knows. */
  warnings: string[];
}

const GROUP = 'Updates';
const WINDOWS = 'Windows';
/** Where `atomic host updates set` writes: after all that distributions and people number by tens. */
const OWN_FILE = 'etc/atomic/updates.d/90-local.conf';

type Reader<T> = (text: string, key: string) => T;

const oneOf =
  <T extends string>(allowed: readonly T[]): Reader<T> =>
  (text, key) => {
    const found = allowed.find((one) => one === text.trim().toLowerCase());
    if (found === undefined) {
      throw new AtomicError('invalid', `${key} is '${text}', not one of ${allowed.join(', ')}`);
    }
    return found;
  };

const yesNo: Reader<boolean> = (text, key) => {
  if (/^(yes|true|on|1)$/i.test(text.trim())) return true;
  if (/^(no|false|off|0)$/i.test(text.trim())) return false;
  throw new AtomicError('invalid', `${key} is '${text}', neither yes nor no`);
};

const atLeast =
  (least: number): Reader<number> =>
  (text, key) => {
    const seconds = parseDuration(text, key);
    if (seconds < least) throw new AtomicError('invalid', `${key} is '${text}', less than ${least} s`);
    return seconds;
  };

/** A warning longer than a window could never be given in one. */
const graceTime: Reader<number> = (text, key) => {
  const seconds = parseDuration(text, key);
  if (seconds > 20 * 60) throw new AtomicError('invalid', `${key} is '${text}', more than 20 minutes`);
  return seconds;
};

const orForever: Reader<number | null> = (text, key) =>
  /^(infinity|never)$/i.test(text.trim()) ? null : parseDuration(text, key);

const share: Reader<number | null> = (text, key) => {
  if (text.trim() === '') return null;
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new AtomicError('invalid', `${key} is '${text}', no number from 0 to 1`);
  return value;
};

const ALLOWED = {
  Policy: oneOf(POLICIES),
  Interval: atLeast(600),
  Fetch: oneOf(['always', 'window']),
  TimeZone: (text: string): string => text.trim(),
  Wariness: share,
  MaxWait: orForever,
  Grace: graceTime,
  Metered: yesNo,
  Usb: yesNo,
  StaleAfter: atLeast(3600),
} satisfies Record<string, Reader<unknown>>;

type Key = keyof typeof ALLOWED;
const isKey = (key: string): key is Key => key in ALLOWED;

const DEFAULT_POLICY: Policy = 'check';

/** The policy alone, for those who only want to say it: reckoning with time zones takes a while to load. */
export function loadPolicy(root: string): Policy {
  const found = DropIns.read(root, 'updates').get(GROUP, 'Policy');
  return found === undefined ? DEFAULT_POLICY : named(found.path, () => ALLOWED.Policy(found.value, 'Policy'));
}

/**
 * Reads `updates.d/*.conf` below a root. Throws `invalid`, naming file and setting: a machine must not reboot on a
 * guess of what was meant.
 */
export function loadUpdatesConfig(root: string): UpdatesConfig {
  return understand(DropIns.read(root, 'updates'), root);
}

function understand(settings: DropIns, root: string): UpdatesConfig {
  const sources = new Map<string, string>();
  const read = <T>(key: Key, reader: Reader<T>, otherwise: T): T => {
    const found = settings.get(GROUP, key);
    if (found === undefined) return otherwise;
    sources.set(key, found.path);
    return named(found.path, () => reader(found.value, key));
  };
  const local = localZone(root);
  const zoneName = read('TimeZone', ALLOWED.TimeZone, 'local');
  const zone =
    /^local(time)?$/i.test(zoneName) || zoneName === ''
      ? local
      : named(sources.get('TimeZone') ?? '', () => new TimeZone(zoneName));
  const windows: Window[] = [];
  for (const name of settings.keys(WINDOWS)) {
    const found = settings.get(WINDOWS, name);
    if (found === undefined || found.value.trim() === '') continue;
    sources.set(`window.${name}`, found.path);
    windows.push(named(found.path, () => parseWindow(name, found.value, zone)));
  }
  const warnings = [
    ...settings.groups().flatMap((group) => (group === GROUP || group === WINDOWS ? [] : [`[${group}]`])),
    ...settings.keys(GROUP).flatMap((key) => (isKey(key) ? [] : [`${key} in [${GROUP}]`])),
  ].map((what) => `${what} is no setting of updates.d; it is passed over`);
  return {
    policy: read('Policy', ALLOWED.Policy, DEFAULT_POLICY),
    interval: read('Interval', ALLOWED.Interval, 6 * 3600),
    windows,
    fetchInWindow: read('Fetch', ALLOWED.Fetch, 'always') === 'window',
    zone,
    wariness: read('Wariness', ALLOWED.Wariness, null),
    maxWait: read('MaxWait', ALLOWED.MaxWait, 3600),
    grace: read('Grace', ALLOWED.Grace, 300),
    metered: read('Metered', ALLOWED.Metered, false),
    usb: read('Usb', ALLOWED.Usb, false),
    staleAfter: read('StaleAfter', ALLOWED.StaleAfter, 7 * 86_400),
    sources,
    warnings,
  };
}

function named<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    throw new AtomicError('invalid', `${path}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

/**
 * Writes settings such as `policy=apply`, `max-wait=1h` or `window.night=sat 02:00 3h` into the administrator's own
 * file; an empty value takes a setting back to what other files say, for a window it removes it. Nothing is written
 * unless all of it makes sense. Returns the file and what counts now; throws `usage` for a setting nobody knows, `invalid`.
 */
export function writeUpdatesConfig(
  root: string,
  assignments: readonly string[],
): { path: string; config: UpdatesConfig } {
  const path = join(root, OWN_FILE);
  const file = KeyFile.parse(readText(path) ?? '', path);
  for (const assignment of assignments) {
    const at = assignment.indexOf('=');
    if (at < 1) throw new AtomicError('usage', `'${assignment}' is not KEY=VALUE`, { hint: 'such as policy=apply' });
    assign(file, assignment.slice(0, at), assignment.slice(at + 1));
  }
  const config = understand(DropIns.read(root, 'updates', { path, file }), root);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  replaceFile(path, file.toString(), { mode: 0o644 });
  return { path, config };
}

function assign(file: KeyFile, name: string, value: string): void {
  const window = /^windows?\.(.+)$/i.exec(name)?.[1];
  if (window !== undefined) {
    if (!/^[A-Za-z0-9_-]+$/.test(window)) throw new AtomicError('usage', `'${window}' is no name for a window`);
    // Kept though empty: it hides one that the tree brings.
    file.set(WINDOWS, window, value);
    return;
  }
  const wanted = name.replaceAll(/[-_]/g, '').toLowerCase();
  const key = Object.keys(ALLOWED).find((known) => known.toLowerCase() === wanted);
  if (key === undefined) {
    throw new AtomicError('usage', `'${name}' is no setting of automatic updates`, {
      hint: `there are ${Object.keys(ALLOWED).map(spelled).join(', ')} and window.NAME`,
    });
  }
  if (value.trim() === '') file.removeKey(GROUP, key);
  else file.set(GROUP, key, value);
}

/** A key as the command line has it: `max-wait`. */
const spelled = (key: string): string => key.replaceAll(/(?<=[a-z])[A-Z]/g, '-$&').toLowerCase();
