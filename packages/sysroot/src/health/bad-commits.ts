import { AtomicError, type BeginOptions, type Checksum, isChecksum } from '@atomic/ostree';
import type { Sysroot } from '../sysroot.ts';
import { pardonCommits } from '../updates/state.ts';
import { fieldsOf, listOf, readJson, type Stored, stateFolder, textOf, writeJson } from './files.ts';

/** A commit that failed here, or that somebody does not want here again. */
export interface BadCommit {
  checksum: Checksum;
  version?: string | undefined;
  /** One line. */
  reason: string;
  /** What the failed check printed. */
  output?: string | undefined;
  /** What the kernel said last, where it was kept. */
  lastWords?: string | undefined;
  /** ISO 8601, UTC; as good as the machine's clock was. */
  when: string;
  /** Who found it bad: the checks, or an administrator. */
  by: 'health' | 'administrator';
  /** What the machine went back to. */
  rolledBackTo?: Checksum | undefined;
}

/** The oldest are forgotten; branches have moved on long since. */
const MOST = 64;
const path = (sysroot: Sysroot, os: string) => `${stateFolder(sysroot, os)}/bad-commits.json`;

function parseBad(value: unknown): BadCommit | null {
  const fields = fieldsOf(value);
  const checksum = textOf(fields?.get('checksum'));
  const reason = textOf(fields?.get('reason'));
  if (fields === null || checksum === null || !isChecksum(checksum) || reason === null) return null;
  const target = textOf(fields.get('rolledBackTo')) ?? '';
  return {
    checksum,
    version: textOf(fields.get('version')) ?? undefined,
    reason,
    output: textOf(fields.get('output')) ?? undefined,
    lastWords: textOf(fields.get('lastWords')) ?? undefined,
    when: textOf(fields.get('when')) ?? '',
    by: fields.get('by') === 'administrator' ? 'administrator' : 'health',
    rolledBackTo: isChecksum(target) ? target : undefined,
  };
}

const read = (sysroot: Sysroot, os: string): Stored<BadCommit[]> =>
  readJson(path(sysroot, os), (value) => listOf(fieldsOf(value)?.get('commits'), parseBad));

/** The commits that no automatic upgrade of this system takes, oldest first. A list that cannot be read is empty. */
export function loadBadCommits(sysroot: Sysroot, os: string): ReadonlyMap<Checksum, BadCommit> {
  const stored = read(sysroot, os);
  return new Map(stored.kind === 'there' ? stored.value.map((commit) => [commit.checksum, commit]) : []);
}

/** Puts a commit on the list, in place of what was said of it before. Idempotent. */
export async function markBad(sysroot: Sysroot, os: string, bad: BadCommit, options: BeginOptions = {}): Promise<void> {
  // Two writers at once would lose one of the marks.
  using _lock = await sysroot.lock(options);
  const stored = read(sysroot, os);
  const others = stored.kind === 'there' ? stored.value.filter(({ checksum }) => checksum !== bad.checksum) : [];
  writeJson(path(sysroot, os), { commits: [...others, bad].slice(-MOST) }, stored.kind);
}

/**
 * Takes commits off the list: those of the version `which`, the one whose checksum is or begins with it (four digits at
 * least), or with null all. Returns them; throws `not-found` when there is none, `usage` when a beginning is of several.
 */
export async function clearBad(
  sysroot: Sysroot,
  os: string,
  which: string | null,
  options: BeginOptions = {},
): Promise<BadCommit[]> {
  using _lock = await sysroot.lock(options);
  const stored = read(sysroot, os);
  const list = stored.kind === 'there' ? stored.value : [];
  const ofVersion = list.filter(({ version }) => version === which);
  const begins = (checksum: string) => which !== null && /^[0-9a-f]{4,64}$/.test(which) && checksum.startsWith(which);
  const cleared =
    which === null ? list : ofVersion.length > 0 ? ofVersion : list.filter(({ checksum }) => begins(checksum));
  if (which !== null && cleared.length === 0) {
    throw new AtomicError('not-found', `no commit or version '${which}' is marked bad`, {
      hint: 'see which are: atomic host health',
    });
  }
  if (which !== null && ofVersion.length === 0 && cleared.length > 1) {
    throw new AtomicError('usage', `'${which}' begins several bad commits`, { hint: 'give more digits' });
  }
  if (stored.kind !== 'none') {
    writeJson(path(sysroot, os), { commits: list.filter((commit) => !cleared.includes(commit)) }, stored.kind);
  }
  // Going back from them was the health checks' doing, and is forgiven too.
  await pardonCommits(
    sysroot,
    os,
    cleared.map(({ checksum }) => checksum),
  );
  return cleared;
}
