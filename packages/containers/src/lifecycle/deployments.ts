import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { readJson } from '@atomic/sysroot';
import {
  type DeploymentRecord,
  type HistoryEvent,
  type Journal,
  parseHistory,
  parseJournal,
  parseRecord,
} from './record.ts';

/** All there is of one name, as it is on the disk. */
export interface Deployed {
  name: string;
  /** The number of the one in use; null: none is, or the link leads nowhere. */
  active: number | null;
  /** The one in use, where its record can be read. */
  record: DeploymentRecord | null;
  /** All, newest first; `record` is null where it cannot be read, and `why` says so. */
  deployments: { id: number; record: DeploymentRecord | null; why: string | null }[];
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * Checks the name of something to be deployed: it becomes the name of a folder and of a unit. `x.0` would be the folder
 * of deployment 0 of `x`. Throws `usage`.
 */
export function checkName(name: string): string {
  if (NAME.test(name) && !/\.\d+$/.test(name) && !name.endsWith('.service')) return name;
  const why = /\.\d+$/.test(name) ? 'it ends in a dot and a number, as the folders of deployments do' : 'malformed';
  throw new AtomicError('usage', `'${name}' cannot be a name: ${why}`, {
    hint: 'letters, digits, _ . and -, at most 64, a letter or digit first: give one with --name',
  });
}

/** The number of the deployment that a name leads to. */
export function activeId(folder: string, name: string): number | null {
  let target: string;
  try {
    target = readlinkSync(join(folder, name));
  } catch (error) {
    if (['ENOENT', 'EINVAL', 'ENOTDIR'].includes(errnoCode(error) ?? '')) return null;
    throw error;
  }
  const [, id] = target.startsWith(`${name}.`) ? (/\.(\d{1,9})$/.exec(target) ?? []) : [];
  return id !== undefined && target === `${name}.${id}` ? Number(id) : null;
}

/** Reads one deployment's record. */
export function readRecord(
  folder: string,
  name: string,
  id: number,
): { record: DeploymentRecord | null; why: string | null } {
  const path = join(folder, `${name}.${id}`, 'info');
  const stored = readJson(path, parseRecord);
  if (stored.kind === 'none') return { record: null, why: `${path} is missing` };
  if (stored.kind === 'broken') return { record: null, why: stored.why };
  const { value } = stored;
  if (value.name !== name || value.id !== id) return { record: null, why: `${path} is of ${value.name}.${value.id}` };
  return { record: value, why: null };
}

/** Everything in a folder of deployments. Never throws for what is broken in it. */
export function listDeployed(folder: string): Deployed[] {
  if (!existsSync(folder)) return [];
  const ids = new Map<string, number[]>();
  for (const entry of readdirSync(folder)) {
    const [, name, id] = /^([^.].*?)(?:\.(\d{1,9}))?$/.exec(entry) ?? [];
    if (name === undefined || (id === undefined && activeId(folder, name) === null)) continue;
    const list = ids.get(name) ?? [];
    if (id !== undefined) list.push(Number(id));
    ids.set(name, list);
  }
  return [...ids]
    .map(([name, list]) => {
      const deployments = list.sort((a, b) => b - a).map((id) => ({ id, ...readRecord(folder, name, id) }));
      const active = activeId(folder, name);
      const record = deployments.find(({ id }) => id === active)?.record ?? null;
      return { name, active, record, deployments };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const findDeployed = (folder: string, name: string): Deployed | undefined =>
  listDeployed(folder).find((one) => one.name === name);

export const journalPath = (folder: string, name: string): string => join(folder, '.journal', `${name}.json`);
export const historyPath = (folder: string, name: string): string => join(folder, '.history', `${name}.json`);

/** Changes that were begun and did not come to their end, or are under way; by name those that cannot be read. */
export function openJournals(folder: string): { journals: Journal[]; broken: Map<string, AtomicError> } {
  const papers = join(folder, '.journal');
  const journals: Journal[] = [];
  const broken = new Map<string, AtomicError>();
  for (const file of existsSync(papers) ? readdirSync(papers) : []) {
    if (!file.endsWith('.json') || file.startsWith('.')) continue;
    const stored = readJson(join(papers, file), parseJournal);
    if (stored.kind === 'there') journals.push(stored.value);
    if (stored.kind !== 'broken') continue;
    const why = `a change was begun, and its journal cannot be read: ${stored.why}`;
    const hint = `a later version of this program may read it; remove ${join(papers, file)} to leave things as they are`;
    broken.set(file.slice(0, -'.json'.length), new AtomicError('corrupt', why, { hint }));
  }
  return { journals, broken };
}

/** What happened to a name, newest first. */
export function readHistory(folder: string, name: string): HistoryEvent[] {
  const stored = readJson(historyPath(folder, name), parseHistory);
  return stored.kind === 'there' ? stored.value.events : [];
}
