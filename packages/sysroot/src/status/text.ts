import { describeGpgSignature, type GpgSignature, type Json, swap64 } from '@atomic/ostree';
import { diffParts, diffSummary, type RpmDiffJson } from '@atomic/pkgdb';
import { packageName } from '../layers/requests.ts';
import { type LayersStuck, stuckLine } from '../layers/stuck.ts';
import { overridesOf } from './overrides.ts';
import { type PackageChangesJson, securityLines } from './package-changes.ts';
import type { FileDiff } from './pending-diff.ts';
import type { CachedUpdate, DeploymentStatus, StatusReport } from './status.ts';

/** How lines are set off on a terminal. */
export interface Style {
  bold(text: string): string;
  /** For what must not be overlooked. */
  alarm(text: string): string;
}

export interface TextOptions {
  /** Only the deployment that runs. */
  booted?: boolean | undefined;
  verbose?: boolean | undefined;
  /** Security advisories one by one; so they are with `verbose`. */
  advisories?: boolean | undefined;
  style?: Style | undefined;
  /** Columns of the terminal (80). */
  columns?: number | undefined;
}

const plain: Style = { bold: (text) => text, alarm: (text) => text };

/** rpm-ostree's columns: the longest key each part may have (`InactiveRemoteOverrides`, `SecAdvisories`). */
const DEPLOYMENT_KEYS = 23;
const UPDATE_KEYS = 13;
/** A checksum is not wrapped, so lists get as much. */
const CHECKSUM_LENGTH = 64;

const utc = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

/** How many files differ, in rpm-ostree's manner; '' for none. */
export function fileDiffText({ modified, removed, added }: FileDiff): string {
  const parts: [number, string][] = [
    [modified, 'modified'],
    [removed, 'removed'],
    [added, 'added'],
  ];
  const text = parts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`])).join(', ');
  return text === '' ? '' : `${text} (files)`;
}

/** Time since, in the largest unit that fits. */
export function ago(seconds: number): string {
  for (const [unit, size] of [
    ['d', 86400],
    ['h', 3600],
    ['min', 60],
  ] as const) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${Math.max(0, Math.floor(seconds))} s ago`;
}

/** A word as a shell takes it (rpm-ostree's maybe_shell_quote). */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

const strings = (value: Json): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];

/** The lines of one block, its keys right-aligned. */
class Block {
  readonly lines: string[] = [];
  readonly #width: number;
  readonly #columns: number;

  constructor(width: number, columns: number) {
    this.#width = width;
    this.#columns = columns;
  }

  add(key: string, value: string): void {
    this.lines.push(`  ${key.padStart(this.#width)}${key === '' ? ' ' : ':'} ${value}`);
  }

  /** Several values, sorted, as many on a line as fit. */
  list(key: string, values: readonly string[]): void {
    if (values.length === 0) return;
    const area = Math.max(CHECKSUM_LENGTH, this.#columns - this.#width - 4);
    let line = '';
    let name = key;
    const sorted = [...values].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1));
    for (const value of sorted) {
      if (line !== '' && line.length + value.length + 1 > area) {
        this.add(name, line);
        name = '';
        line = '';
      }
      line = line === '' ? value : `${line} ${value}`;
    }
    this.add(name, line);
  }

  /** A header, and the values beneath it as a tree. */
  tree(key: string, header: string, values: readonly string[]): void {
    this.add(key, header);
    for (const [index, value] of values.entries()) this.add('', `${index === values.length - 1 ? '└' : '├'} ${value}`);
  }
}

function signatureLines(block: Block, signatures: readonly GpgSignature[] | undefined, verbose: boolean): void {
  if (signatures === undefined || signatures.length === 0) {
    block.add('GPGSignature', '(unsigned)');
    return;
  }
  if (verbose) {
    block.add('GPGSignature', `${signatures.length} signature${signatures.length === 1 ? '' : 's'}`);
    for (const one of signatures) {
      for (const line of describeGpgSignature(one, '').trimEnd().split('\n')) block.add('', line);
    }
    return;
  }
  signatures.forEach(({ state, fingerprint }, index) => {
    block.add(
      index === 0 ? 'GPGSignature' : '',
      state === 'key-missing'
        ? `Can't check signature: public key ${fingerprint} not found`
        : `${state === 'good' ? 'Valid' : 'Invalid'} signature by ${fingerprint}`,
    );
  });
}

/** Package repositories a commit was made from, with their times; those of a server's commits are big-endian. */
function repositories(metadata: Json | undefined, bigEndian: boolean): string[] {
  if (!Array.isArray(metadata)) return [];
  return metadata.flatMap((item) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return [];
    const { id, timestamp } = item;
    if (typeof id !== 'string' || (typeof timestamp !== 'number' && typeof timestamp !== 'string')) return [];
    const raw = BigInt(timestamp);
    const seconds = Number(bigEndian ? swap64(raw) : raw);
    return seconds < 8.64e12 ? [`${id} (${utc(seconds)})`] : [id];
  });
}

function commitLines(
  block: Block,
  key: string,
  checksum: string,
  metadata: { [key: string]: Json } | undefined,
  options: { verbose: boolean; bigEndian: boolean },
): void {
  const repos = options.verbose ? repositories(metadata?.['rpmostree.rpmmd-repos'], options.bigEndian) : [];
  if (repos.length === 0) block.add(key, checksum);
  else block.tree(key, checksum, repos);
}

function timeLine(block: Block, version: string | undefined, timestamp: number, style: Style): void {
  const time = utc(timestamp);
  if (version === undefined) block.add('Timestamp', time);
  else block.add('Version', `${style.bold(version)} (${time})`);
}

/** Packages and initramfs: what was asked for, and (verbose) what of it has no effect. */
function requestLines(block: Block, one: DeploymentStatus, verbose: boolean): void {
  const layered = strings(one.packages);
  const overrides = overridesOf(one['base-removals'], one['base-local-replacements'], one['base-remote-replacements']);
  const inactive = (key: string, asked: readonly string[], active: readonly string[]) => {
    if (verbose) block.list(key, asked.filter((name) => !active.includes(name)).map(quoted));
  };
  block.list('RemovedBasePackages', overrides.removed);
  inactive('InactiveBaseRemovals', one['requested-base-removals'], overrides.removedNames);
  block.list('LocalOverrides', overrides.replaced);
  const files = one['requested-base-local-replacements'];
  const active = files.filter((name) => overrides.replacedNames.includes(packageName(name)));
  inactive('InactiveLocalOverrides', files, active);
  for (const [source, packages] of overrides.remote) {
    if (packages.length > 0) block.tree('RemoteOverrides', source, packages);
  }
  inactive('InactiveRequests', one['requested-packages'], layered);
  block.list('LayeredPackages', layered.map(quoted));
  block.list('LayeredModules', strings(one.modules).map(quoted));
  block.list('LocalPackages', one['requested-local-packages'].map(quoted));
  block.list('LocalForcedPackages', one['requested-local-fileoverride-packages'].map(quoted));
  if (one['regenerate-initramfs']) {
    const args = (one['initramfs-args'] ?? []).map(quoted).join(' ');
    block.add('Initramfs', args === '' ? 'regenerate' : args);
  }
  if (one.cliwrap) block.add('Cliwrap', 'enabled');
  block.list('InitramfsEtc', (one['initramfs-etc'] ?? []).map(quoted));
}

interface Detail {
  verbose: boolean;
  /** Advisories one by one, even so. */
  advisories: boolean;
  style: Style;
}

/** How the packages differ from those that run; where they do not, how the files do. */
function changeLines(block: Block, one: PackageChangesJson & { 'file-diff'?: FileDiff }, detail: Detail): void {
  const files = one['file-diff'] === undefined ? '' : fileDiffText(one['file-diff']);
  const { verbose, style } = detail;
  const security = securityLines(one.advisories ?? [], verbose || detail.advisories);
  security.forEach((line, index) => {
    block.add(index === 0 ? 'SecAdvisories' : '', verbose || detail.advisories ? line : style.alarm(line));
  });
  const packages = one['rpm-diff'];
  if (packages === undefined) {
    if (files !== '') block.add('Diff', files);
    return;
  }
  packageLines(block, packages, verbose);
  if (verbose && files !== '') block.add('Files', files);
}

/** How many packages differ, or which. */
function packageLines(block: Block, packages: RpmDiffJson, verbose: boolean, prefix = ''): void {
  if (!verbose) {
    block.add(`${prefix}Diff`, diffSummary(packages));
    return;
  }
  for (const { title, lines } of diffParts(packages)) {
    lines.forEach((line, index) => {
      block.add(index === 0 ? `${prefix}${title}` : '', line);
    });
  }
}

interface Place extends Detail {
  index: number;
  report: StatusReport;
  severalSystems: boolean;
  columns: number;
}

function deploymentLines(one: DeploymentStatus, place: Place): string[] {
  const { style, verbose, index } = place;
  const block = new Block(DEPLOYMENT_KEYS, place.columns);
  const [url = '', description = ''] = one['custom-origin'] ?? [];
  const follows = one.origin ?? one['container-image-reference'];
  const name = url !== '' ? url : (follows ?? one.checksum);
  block.lines.push(`${one.booted ? '●' : ' '} ${name}${verbose ? ` (index: ${index})` : ''}`);
  const digest = one['container-image-reference-digest'];
  if (digest !== undefined) block.add('Digest', digest);
  if (description !== '') block.add('CustomOrigin', description);
  const remoteError = one['remote-error'];
  if (remoteError !== undefined) block.add('OstreeRemoteStatus', style.alarm(remoteError));
  const title = one['base-commit-meta']['ostree.source-title'];
  if (typeof title === 'string') block.lines.push(`  └ ${title}`);
  const base = one['base-checksum'];
  timeLine(block, one.version, one['base-timestamp'] ?? one.timestamp, style);
  const meta = one['base-commit-meta'];
  const { 'live-replaced': live, 'live-inprogress': interrupted } = one;
  const booted = live === undefined && interrupted === undefined ? '' : 'Booted';
  if (base === undefined) commitLines(block, `${booted}Commit`, one.checksum, meta, { verbose, bigEndian: true });
  else {
    commitLines(block, `${booted}BaseCommit`, base, meta, { verbose, bigEndian: true });
    const layered = one['layered-commit-meta'];
    if (verbose) commitLines(block, 'Commit', one.checksum, layered, { verbose, bigEndian: false });
  }
  if (interrupted !== undefined) block.add('InterruptedLiveCommit', style.alarm(interrupted));
  if (live !== undefined) block.add('LiveCommit', style.bold(live));
  const liveDiff = one['live-rpm-diff'];
  if (liveDiff !== undefined) packageLines(block, liveDiff, verbose, 'Live');
  if (verbose && (one.staged || index === 0)) block.add('Staged', one.staged ? 'yes' : 'no');
  if (one['finalization-locked']) block.add('FinalizationLocked', 'yes');
  if (verbose || place.severalSystems) block.add('StateRoot', one.osname);
  if (one['gpg-enabled']) signatureLines(block, place.report.signatures.get(base ?? one.checksum), verbose);
  changeLines(block, one, place);
  requestLines(block, one, verbose);
  if (one.pinned) block.add('Pinned', 'yes');
  if (one.unlocked !== 'none') block.add('Unlocked', style.alarm(one.unlocked));
  const etc = one['etc-conflicts'];
  if (etc !== undefined) {
    block.list(
      etc.final ? 'EtcConflicts' : 'EtcConflictsToCome',
      etc.conflicts.map(({ path }) => path),
    );
    block.list(
      'AccountsNotAdded',
      etc.accounts.map(({ name, id, heldBy }) => `${name} (${id} is ${heldBy})`),
    );
  }
  if (one.endoflife !== undefined) block.add('EndOfLife', style.alarm(one.endoflife));
  if (one.bad !== undefined) block.add('Bad', style.alarm(one.bad));
  return block.lines;
}

/** The lines of `AvailableUpdate:`, from what a check found. */
export function updateLines(
  update: Pick<CachedUpdate, 'version' | 'timestamp' | 'checksum'> & PackageChangesJson,
  { style = plain, verbose = false, advisories = false }: TextOptions = {},
): string[] {
  const block = new Block(UPDATE_KEYS, 80);
  timeLine(block, update.version, update.timestamp, style);
  block.add('Commit', update.checksum);
  changeLines(block, update, { verbose, advisories, style });
  return ['AvailableUpdate:', ...block.lines];
}

/** Why the base does not get newer, and the ways out. */
export const stuckLines = (stuck: LayersStuck, style: Style = plain): string[] => [
  `Layers: ${style.alarm(stuckLine(stuck))}`,
  ...stuck.drop.map((command, index) => `  ${index === 0 ? 'To go on without' : '              or'}: ${command}`),
];

/** What `atomic host status` prints: the lines of `rpm-ostree status`. */
export function statusLines(report: StatusReport, options: TextOptions = {}): string[] {
  const { json, transaction } = report;
  const style = options.style ?? plain;
  const lines = [`State: ${transaction === null ? 'idle' : 'busy'}`];
  const updates = json['automatic-updates'];
  if (updates !== null) lines.push(updates);
  else if (options.verbose) lines.push('AutomaticUpdates: disabled');
  if (json.health.state !== 'unknown') lines.push(`Health: ${json.health.summary}`);
  const stuck = json['layers-stuck'];
  if (stuck !== null) lines.push(...stuckLines(stuck, style));
  if (transaction !== null) {
    lines.push(`Transaction: ${transaction.title ?? 'unknown'}`);
    const since = transaction.started === null ? '' : `, began ${ago((Date.now() - transaction.started) / 1000)}`;
    if (transaction.pid !== null) lines.push(`  Initiator: process ${transaction.pid}${since}`);
  }
  lines.push(options.booted ? 'BootedDeployment:' : 'Deployments:');
  const severalSystems = new Set(json.deployments.map(({ osname }) => osname)).size > 1;
  let shown = 0;
  for (const [index, one] of json.deployments.entries()) {
    if (options.booted && !one.booted) continue;
    if (shown++ > 0) lines.push('');
    const { verbose = false, advisories = false, columns = 80 } = options;
    lines.push(...deploymentLines(one, { index, report, severalSystems, verbose, advisories, style, columns }));
  }
  if (shown === 0) lines.push('(none)');
  if (json['cached-update'] !== null) lines.push('', ...updateLines(json['cached-update'], { ...options, style }));
  return lines;
}
