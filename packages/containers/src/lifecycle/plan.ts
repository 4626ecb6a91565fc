import { existsSync, lstatSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { syncfsPath } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { newData } from './data.ts';
import { hostState, placeFile } from './host-file.ts';
import type { Change, DeploymentRecord, FileChange, HostFile } from './record.ts';
import { type Ground, stagingOf } from './steps.ts';

/** What a change will do, and what a person should know of it. */
export interface Planned {
  change: Change;
  /** The record of where it goes, with what was found on the host. */
  to: DeploymentRecord | null;
  notes: string[];
  /** Files of the host that were changed here, and where {@link keepLocal} puts copies. */
  local: { path: string; copy: string }[];
}

export interface PlanOptions {
  from: DeploymentRecord | null;
  to: DeploymentRecord | null;
  /** `to` is staged, not in its place yet. */
  staged: boolean;
  /** What is in use is not known: its record is damaged. */
  damaged?: number | undefined;
  /** What an earlier installation left. */
  left?: Pick<DeploymentRecord, 'data' | 'folders'> | undefined;
  /** Start it: always, or only where the one before ran. */
  start: 'as-before' | 'yes' | 'no';
}

const folderOf = ({ name, id }: DeploymentRecord): string => `${name}.${id}`;

/** Folders above host files, without those that each host has. */
function parents(paths: readonly string[]): string[] {
  const all = new Set<string>();
  for (const path of paths) for (let up = dirname(path); up !== '/'; up = dirname(up)) all.add(up);
  return [...all];
}

/**
 * Works out how to go from one deployment to another. The files of the host are merged as /etc is: what is still as it
 * was put there is replaced, what was changed or removed here stays so. Throws `exists` where something else already
 * has the name of a unit.
 */
export async function planChange(
  ground: Ground,
  { from, to, staged, start, damaged, left }: PlanOptions,
): Promise<Planned> {
  const { services, folder, root } = ground;
  const notes: string[] = [];
  const staging = to === null ? '' : staged ? stagingOf(ground, to.id) : join(folder, folderOf(to));
  const keeper = to ?? from;
  const local: Planned['local'] = [];

  const before = new Map((from?.files ?? []).map((file) => [file.path, file]));
  const after = new Map((to?.files ?? []).map((file) => [file.path, file]));
  const files: FileChange[] = [];
  const found: HostFile[] = [];
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const theirs = after.get(path);
    const known = before.get(path);
    const base = known === undefined || known.foreign ? null : known;
    const now = hostState(root + path);
    const merged = mergeFile({
      path,
      base,
      theirs,
      known,
      now,
      notes,
      name: ground.name,
      damaged: damaged !== undefined,
    });
    if (theirs !== undefined) found.push({ ...theirs, foreign: merged.foreign });
    if (!merged.write) continue;
    let beforeSource = base === null ? null : `${folderOf(from ?? missing())}/${base.source}`;
    if (now !== null && now !== base?.state && now !== 'special' && keeper !== null) {
      // What was changed here must come back if this is undone.
      local.push({ path, copy: join(staging || join(folder, folderOf(keeper)), `local${path}`) });
      beforeSource = `${folderOf(keeper)}/local${path}`;
    }
    files.push({
      path,
      before: now,
      after: theirs?.state ?? null,
      beforeSource: now === null ? null : beforeSource,
      afterSource: theirs === undefined || to === null ? null : `${folderOf(to)}/${theirs.source}`,
    });
  }

  const made = newData(staged && to !== null ? to.tmpfiles.map((file) => join(staging, file)) : [], root);
  const data = [...new Set([...(left?.data ?? []), ...(from?.data ?? []), ...(to?.data ?? []), ...made])];
  const needed = parents([...files.filter(({ after }) => after !== null).map(({ path }) => path), ...made]);
  const kept = new Set(parents([...after.keys(), ...(to === null ? [] : data)]));
  const makeFolders = needed.filter((path) => !existsSync(root + path));
  for (const path of needed) {
    if (existsSync(root + path) && !isFolder(root + path)) {
      throw new AtomicError('exists', `${path} is no folder on this machine, and the image has files below it`);
    }
  }
  const madeBefore = from?.folders ?? left?.folders ?? [];
  const dropFolders = madeBefore.filter((path) => !kept.has(path));
  const folders = [...new Set([...madeBefore.filter((path) => kept.has(path)), ...makeFolders])];

  // Of one that is damaged the units are as they are of the one it goes to, as far as anybody knows.
  const oldUnits = from?.units ?? (damaged === undefined ? [] : (to?.units ?? []));
  const newUnits = to?.units ?? [];
  const states = new Map((await services.states(oldUnits.map(({ name }) => name))).map((state) => [state.name, state]));
  const runs = oldUnits.filter(({ name }) => /^(active|activating|reloading)$/.test(states.get(name)?.active ?? ''));
  const stop = runs.map(({ name }) => name).reverse();
  const enabled = oldUnits.filter(({ name }) => states.get(name)?.file.startsWith('enabled') === true);
  const rewritten = new Set(files.map(({ path }) => path.slice(path.lastIndexOf('/') + 1)));
  const isNew = (name: string): boolean => !oldUnits.some((unit) => unit.name === name);
  const wasEnabled = (name: string): boolean => enabled.some((unit) => unit.name === name);
  // What fell over was meant to run: the new version may mend it.
  const fell = oldUnits.some(({ name }) => states.get(name)?.active === 'failed');
  const starts = start === 'yes' || (start === 'as-before' && (runs.length > 0 || fell));
  const mine = new Set([...oldUnits, ...newUnits].map(({ name }) => name));
  const stops = stop.length === 0 ? [] : await services.dependants(stop);

  const change: Change = {
    from: from?.id ?? damaged ?? null,
    to: to?.id ?? null,
    files,
    makeFolders,
    dropFolders,
    stop,
    // What [Install] says may differ: the links are made anew, unless the unit stays as it is.
    disable: enabled
      .filter(({ name }) => rewritten.has(name) || !newUnits.some((unit) => unit.name === name))
      .map(({ name }) => name),
    enable: newUnits
      .filter(({ name, enable }) => (isNew(name) ? enable : wasEnabled(name) && rewritten.has(name)))
      .map(({ name }) => name),
    clearTmpfiles: from === null ? [] : from.tmpfiles.map((file) => `${folderOf(from)}/${file}`),
    createTmpfiles: to === null ? [] : to.tmpfiles.map((file) => `${folderOf(to)}/${file}`),
    start: starts ? newUnits.filter((unit) => unit.start).map(({ name }) => name) : [],
    dependants: stops.filter((name) => !mine.has(name)),
  };
  if (to === null && change.dependants.length > 0) {
    notes.push(`${change.dependants.join(', ')} needed it and stopped with it`);
  }
  return { change, to: to === null ? null : { ...to, files: found, folders, data }, notes, local };
}

/** Copies what was changed here, flushed to the disk: before the journal says that it is there. */
export function keepLocal({ local }: Pick<Planned, 'local'>, { folder, root }: Pick<Ground, 'folder' | 'root'>): void {
  for (const { path, copy } of local) {
    mkdirSync(dirname(copy), { recursive: true });
    placeFile(root + path, copy);
  }
  if (local.length > 0) syncfsPath(folder);
}

const missing = (): never => {
  throw new AtomicError('failed', 'a file without a deployment');
};

const isFolder = (path: string): boolean => lstatSync(path).isDirectory() || existsSync(`${path}/.`);

interface Merge {
  path: string;
  name: string;
  /** What we put there, if we did. */
  base: HostFile | null;
  /** What is to be there. */
  theirs: HostFile | undefined;
  /** What the old deployment knows of it. */
  known: HostFile | undefined;
  now: string | null;
  notes: string[];
  damaged: boolean;
}

/** The three-way merge of one file: whether it is written (or removed), and whether it belongs to somebody else. */
function mergeFile({ path, name, base, theirs, known, now, notes, damaged }: Merge): {
  write: boolean;
  foreign: boolean;
} {
  const target = theirs?.state ?? null;
  if (base === null) {
    if (theirs === undefined) return { write: false, foreign: true };
    if (now === null) return { write: true, foreign: false };
    if (theirs.managed && damaged) return { write: now !== target && now !== 'folder', foreign: false };
    if (theirs.managed) {
      throw new AtomicError('exists', `${path} is there already and does not belong to ${name}`, {
        hint: 'choose another name with --name, or remove that file',
      });
    }
    if (known === undefined && now !== target) notes.push(`${path}: was there before and stays as it is`);
    return { write: false, foreign: true };
  }
  if (now === target) return { write: false, foreign: false };
  if (now === base.state) return { write: true, foreign: false };
  if (theirs === undefined) {
    if (base.managed) return { write: now !== null && now !== 'folder', foreign: false };
    if (now !== null) notes.push(`${path}: was changed here and stays`);
    return { write: false, foreign: false };
  }
  if (theirs.managed && now !== 'folder' && now !== 'special') {
    if (now !== null) notes.push(`${path}: local changes are put aside (local${path} in the deployment)`);
    return { write: true, foreign: false };
  }
  if (base.state !== target) {
    const what = now === null ? 'was removed here and stays away' : 'was changed here and stays';
    notes.push(`${path}: ${what}; the new version is ${theirs.source} in the deployment`);
  }
  return { write: false, foreign: false };
}
