import { lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { removeTree, replaceSymlink } from '@atomic/sysroot';
import { dropFolder, hostState, makeFolder, placeFile, removeAside, removeFile } from './host-file.ts';
import type { Change, FileChange } from './record.ts';
import type { Services } from './services.ts';

/** One thing to do. Each may be done again, and does nothing where it is done already. */
export type Step =
  | { do: 'stop'; units: readonly string[] }
  | { do: 'disable'; units: readonly string[] }
  | { do: 'clear-tmpfiles'; files: readonly string[] }
  /** Gives what was staged its name. */
  | { do: 'place'; id: number }
  | { do: 'make-folder'; path: string }
  | { do: 'file'; change: FileChange }
  /** The switch: from here on, NAME is another deployment. */
  | { do: 'point'; to: number | null }
  | { do: 'drop-folder'; path: string }
  | { do: 'reload' }
  | { do: 'create-tmpfiles'; files: readonly string[] }
  | { do: 'enable'; units: readonly string[] }
  | { do: 'start'; units: readonly string[] };

const depth = (path: string): number => path.split('/').length;
/** Folders with those they lie in before them (1) or after them (-1). */
export const byDepth = (paths: readonly string[], order: 1 | -1): string[] =>
  [...paths].sort((a, b) => order * (depth(a) - depth(b)) || (a < b ? -1 : 1));

/** What a change takes, in the order in which it is done. */
export function stepsOf(change: Change, place: number | null): Step[] {
  const steps: Step[] = [];
  const units = (what: 'stop' | 'disable' | 'enable' | 'start', list: readonly string[]): void => {
    if (list.length > 0) steps.push({ do: what, units: list });
  };
  if (place !== null) steps.push({ do: 'place', id: place });
  units('stop', change.stop);
  if (change.clearTmpfiles.length > 0) steps.push({ do: 'clear-tmpfiles', files: change.clearTmpfiles });
  units('disable', change.disable);
  for (const path of byDepth(change.makeFolders, 1)) steps.push({ do: 'make-folder', path });
  for (const file of change.files) steps.push({ do: 'file', change: file });
  steps.push({ do: 'point', to: change.to });
  for (const path of byDepth(change.dropFolders, -1)) steps.push({ do: 'drop-folder', path });
  steps.push({ do: 'reload' });
  if (change.createTmpfiles.length > 0) steps.push({ do: 'create-tmpfiles', files: change.createTmpfiles });
  units('enable', change.enable);
  units('start', change.start);
  // Without what they need they could not start.
  if (change.to !== null) units('start', change.dependants);
  return steps;
}

/** The way back, which leads from any point of the way there. */
export const inverse = (change: Change): Change => ({
  from: change.to,
  to: change.from,
  files: change.files
    .map(({ path, before, after, beforeSource, afterSource }) => ({
      path,
      before: after,
      after: before,
      beforeSource: afterSource,
      afterSource: beforeSource,
    }))
    .reverse(),
  makeFolders: change.dropFolders,
  dropFolders: change.makeFolders,
  stop: [...change.start].reverse(),
  disable: change.enable,
  enable: change.disable,
  clearTmpfiles: [],
  createTmpfiles: change.clearTmpfiles,
  start: [...change.stop].reverse(),
  dependants: change.dependants,
});

/** Where steps are taken. */
export interface Ground {
  /** The folder of all deployments. */
  folder: string;
  name: string;
  /** The host's root; '' for /. */
  root: string;
  services: Services;
}

export const stagingOf = ({ folder, name }: Pick<Ground, 'folder' | 'name'>, id: number): string =>
  join(folder, '.stage', `${name}.${id}`);

/** Takes one step. */
export async function take(
  step: Step,
  ground: Ground,
  options: { wait?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { services, folder, name, root } = ground;
  switch (step.do) {
    case 'stop':
      return services.stop(step.units);
    case 'disable':
      return services.disable(step.units);
    case 'clear-tmpfiles':
      return services.tmpfiles('remove', inFolder(folder, step.files));
    case 'place':
      renameSync(stagingOf(ground, step.id), join(folder, `${name}.${step.id}`));
      return fsyncPath(folder);
    case 'make-folder':
      return makeFolder(root + step.path);
    case 'file':
      return changeFile(step.change, ground);
    case 'point':
      if (step.to === null) rmSync(join(folder, name), { force: true });
      else replaceSymlink(`${name}.${step.to}`, join(folder, name));
      return fsyncPath(folder);
    case 'drop-folder':
      return dropFolder(root + step.path);
    case 'reload':
      return services.reload();
    case 'create-tmpfiles':
      return services.tmpfiles('create', inFolder(folder, step.files));
    case 'enable':
      return services.enable(step.units);
    case 'start':
      return services.start(step.units, options);
  }
}

const inFolder = (folder: string, files: readonly string[]): string[] => files.map((file) => join(folder, file));

/** Changes a file of the host if it is as it was when the change was planned; what is neither is somebody else's now. */
function changeFile({ path, before, after, afterSource }: FileChange, { root, folder }: Ground): void {
  const host = root + path;
  const now = hostState(host);
  if (now === after || now !== before) removeAside(host);
  else if (afterSource === null) removeFile(host);
  else placeFile(join(folder, afterSource), host);
}

/** One line of a plan, for people. */
export function describeStep(step: Step, name: string): string {
  switch (step.do) {
    case 'stop':
    case 'start':
    case 'enable':
    case 'disable':
      return `${step.do} ${step.units.join(' ')}`;
    case 'clear-tmpfiles':
    case 'create-tmpfiles':
      return `${step.do} ${step.files.join(' ')}`;
    case 'place':
      return `place ${name}.${step.id}`;
    case 'make-folder':
    case 'drop-folder':
      return `${step.do} ${step.path}`;
    case 'file': {
      const { path, before, after } = step.change;
      return `${after === null ? 'remove' : before === null ? 'write' : 'replace'} ${path}`;
    }
    case 'point':
      return step.to === null ? `unlink ${name}` : `point ${name} to ${name}.${step.to}`;
    case 'reload':
      return 'reload';
  }
}

/** Makes the folders that a lifecycle keeps its papers in. */
export function makePapers(folder: string): void {
  for (const name of ['.stage', '.journal', '.history'])
    mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
}

/** Removes what is of no use any more from `.stage`; what cannot be removed now every later command tries again. */
export function dropStaged(path: string): void {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory()) removeTree(path);
    else rmSync(path, { force: true });
  } catch (error) {
    if (errnoCode(error) === undefined) throw error;
  }
}
