import { lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { replaceFile } from '@atomic/ostree';
import {
  ACCOUNT_FILES,
  type AccountConflict,
  type AccountFile,
  type AccountsReport,
  type AccountTexts,
  mergeAccounts,
} from './accounts.ts';
import { type EtcConflict, findEtcConflicts } from './etc-conflicts.ts';
import { applyEtc, diffEtc, type EtcDiff } from './etc-merge.ts';
import { fieldsOf, listOf, readJson, textOf } from './health/files.ts';
import type { DeploymentId } from './layout.ts';
import type { Sysroot } from './sysroot.ts';

/** What the merge of /etc into a new deployment came to, beyond the plain carrying over of local changes. */
export interface EtcReport {
  /** False while it is a forecast: a staged deployment is merged at shutdown. */
  final: boolean;
  conflicts: EtcConflict[];
  accounts: AccountsReport;
}

/** The trees a merge is made of. */
export interface EtcTrees {
  /** The old deployment's /usr/etc, or what its /etc is counted against. */
  defaults: string;
  current: string;
  /** The new deployment's root. */
  tree: string;
  /** The old deployment's root. */
  from: string;
}

const read = (path: string): string | undefined =>
  lstatSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path, 'utf8') : undefined;

/** Whether the system finds accounts in /usr/lib, too (nss-altfiles), from nsswitch.conf(5). */
const usesAltfiles = (nsswitch: string | undefined, file: AccountFile): boolean =>
  new RegExp(`^\\s*${file}\\s*:.*\\baltfiles\\b`, 'm').test(nsswitch ?? '');

/** The account files of one side; those in /usr/lib belong to it where nothing reads them there. */
function accountTexts(etc: string, tree: string, nsswitch: string | undefined): AccountTexts {
  const texts: AccountTexts = {};
  for (const file of ACCOUNT_FILES) {
    const text = read(`${etc}/${file}`);
    const more = usesAltfiles(nsswitch, file) ? undefined : read(`${tree}/usr/lib/${file}`);
    if (text !== undefined || more !== undefined) texts[file] = [text, more].filter(Boolean).join('\n');
  }
  return texts;
}

/** What is in /etc of the edited account files, and what the new tree would have them be. */
function mergeAccountFiles(trees: EtcTrees, diff: EtcDiff): ReturnType<typeof mergeAccounts> {
  const edited = ACCOUNT_FILES.filter((file) => diff.modified.includes(file) || diff.added.includes(file));
  const altfiles = read(`${trees.current}/nsswitch.conf`);
  const current: AccountTexts = {};
  // Every file takes part, so that a number taken in an untouched one is seen; what is not edited comes from the tree.
  for (const file of ACCOUNT_FILES) {
    const text = edited.includes(file)
      ? read(`${trees.current}/${file}`)
      : (read(`${trees.tree}/usr/etc/${file}`) ?? read(`${trees.current}/${file}`));
    if (text !== undefined) current[file] = text;
  }
  const before = accountTexts(trees.defaults, trees.from, altfiles);
  return mergeAccounts(before, current, accountTexts(`${trees.tree}/usr/etc`, trees.tree, altfiles));
}

function describe(trees: EtcTrees, diff: EtcDiff, accounts: AccountsReport, final: boolean): EtcReport {
  const fresh = `${trees.tree}/usr/etc`;
  const merged = new Set<string>(ACCOUNT_FILES);
  const conflicts = findEtcConflicts({ defaults: trees.defaults, current: trees.current, fresh }, diff);
  return { final, accounts, conflicts: conflicts.filter(({ path, here }) => here === 'removed' || !merged.has(path)) };
}

/** Says what a merge would come to, changing nothing. */
export function forecastEtc(trees: EtcTrees): EtcReport {
  const diff = diffEtc(trees.defaults, trees.current);
  return describe(trees, diff, mergeAccountFiles(trees, diff).report, false);
}

/**
 * Merges the local changes of one /etc into that of a new deployment, which starts as a copy of its defaults and is not
 * booted yet. Throws `invalid` where a local file stands against a new folder or the reverse.
 */
export function mergeIntoTree(
  trees: EtcTrees,
  options: { xattrs?: boolean; log?: ((message: string) => void) | undefined } = {},
): EtcReport {
  const diff = diffEtc(trees.defaults, trees.current);
  const { modified, removed, added } = diff;
  options.log?.(`Copying /etc changes: ${modified.length} modified, ${removed.length} removed, ${added.length} added`);
  applyEtc(diff, trees.current, `${trees.tree}/etc`, options);
  const { texts, report } = mergeAccountFiles(trees, diff);
  for (const [file, text] of Object.entries(texts)) {
    const path = `${trees.tree}/etc/${file}`;
    // In place: it is a copy already, with the right owner, mode and label.
    if (lstatSync(path, { throwIfNoEntry: false })?.isFile()) writeFileSync(path, text);
  }
  return describe(trees, diff, report, true);
}

const reportPath = (sysroot: Sysroot, id: DeploymentId) => `${sysroot.layout.backing(id)}/etc-merge.json`;

/** Keeps a report beside the deployment it is about; it goes when that goes. */
export function writeEtcReport(sysroot: Sysroot, id: DeploymentId, report: EtcReport): void {
  mkdirSync(sysroot.layout.backing(id), { recursive: true, mode: 0o700 });
  replaceFile(reportPath(sysroot, id), `${JSON.stringify(report)}\n`, { mode: 0o644, sync: false });
}

/** What the merge into a deployment's /etc came to; null for one that stock tools, or older versions, made. */
export function readEtcReport(sysroot: Sysroot, id: DeploymentId): EtcReport | null {
  const stored = readJson(reportPath(sysroot, id), parseReport);
  return stored.kind === 'there' ? stored.value : null;
}

const SIDES = ['added', 'modified', 'removed'] as const;
const side = (value: unknown) => SIDES.find((name) => name === value) ?? null;

function parseConflict(value: unknown): EtcConflict | null {
  const fields = fieldsOf(value);
  const path = textOf(fields?.get('path'));
  const here = side(fields?.get('here'));
  const defaults = side(fields?.get('defaults'));
  return path === null || here === null || defaults === null ? null : { path, here, defaults };
}

function parseAccountConflict(value: unknown): AccountConflict | null {
  const fields = fieldsOf(value);
  const file = (['passwd', 'group'] as const).find((name) => name === fields?.get('file'));
  const [name, id, heldBy] = ['name', 'id', 'heldBy'].map((key) => textOf(fields?.get(key)) ?? undefined);
  if (file === undefined || name === undefined || id === undefined || heldBy === undefined) return null;
  return { file, name, id, heldBy };
}

function parseReport(value: unknown): EtcReport | null {
  const fields = fieldsOf(value);
  const accounts = fieldsOf(fields?.get('accounts'));
  const final = fields?.get('final');
  const conflicts = listOf(fields?.get('conflicts'), parseConflict);
  const added = listOf(accounts?.get('added'), textOf);
  const refused = listOf(accounts?.get('conflicts'), parseAccountConflict);
  if (typeof final !== 'boolean' || conflicts === null || added === null || refused === null) return null;
  return { final, conflicts, accounts: { added, conflicts: refused } };
}
