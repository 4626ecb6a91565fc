import { isDeepStrictEqual } from 'node:util';
import { AtomicError, type Checksum } from '@atomic/ostree';
import {
  baseDeployment,
  type ChangeOptions,
  checkChangeOptions,
  chooseOs,
  compare,
  noTraffic,
  switchTo,
  type UpgradeResult,
} from '../change/change.ts';
import type { Sysroot } from '../sysroot.ts';
import type { FoundPackage, PackageRepository } from './assembler.ts';
import { editRequests } from './edit-requests.ts';
import { etcOf, type LayerEdits, requireLayers } from './lay.ts';
import { isPackageFile, removeUnusedPackages } from './package-store.ts';
import { readRequests } from './requests.ts';

export interface ChangeLayersOptions extends Omit<ChangeOptions, 'edits'> {
  /** Find out what would change, deploy nothing. */
  dryRun?: boolean | undefined;
}

/** Throws `not-found` when the tree below the layers is not there to put something on. */
export function requireBase(sysroot: Sysroot, base: Checksum): void {
  if (sysroot.repo.commitState(base) === 'complete') return;
  throw new AtomicError('not-found', `the tree below the layers, ${base}, is not in the repository any more`, {
    hint: 'fetch it with: atomic host upgrade',
  });
}

/**
 * Changes what is layered on the tree a system has, or would boot next, and deploys the result: the base stays the same.
 * Throws `invalid` for requests that make no sense and what the package manager has against the others; then nothing is
 * different.
 */
export async function changeLayers(
  sysroot: Sysroot,
  edits: LayerEdits,
  options: ChangeLayersOptions = {},
): Promise<UpgradeResult> {
  checkChangeOptions(options);
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const current = baseDeployment(state, chooseOs(state, options.os));
  const { base } = current;
  requireBase(sysroot, base);
  const result = compare(sysroot, current, base, noTraffic());
  const before = readRequests(current.origin);
  const files = [...(edits.install ?? []), ...(edits.replace ?? [])].filter(isPackageFile);
  if (files.length === 0) {
    const { replace: _none, ...rest } = edits;
    if (isDeepStrictEqual(editRequests(before, rest), before)) return result;
  }
  try {
    const switched = await switchTo(sysroot, state, current, base, {
      ...options,
      edits,
      override: current.origin?.get('origin', 'override-commit'),
    });
    return { ...result, ...switched, changed: true };
  } finally {
    removeUnusedPackages(sysroot, sysroot.load().deployments);
  }
}

/** Which tree's package manager is asked, with whose settings. */
async function asking(sysroot: Sysroot, options: ChangeLayersOptions) {
  const state = sysroot.load();
  const os = chooseOs(state, options.os);
  const current = baseDeployment(state, os);
  requireBase(sysroot, current.base);
  const layers = await requireLayers(options);
  return { layers, base: current.base, mergeEtc: etcOf(sysroot, state, os, current) };
}

/** Fetches the lists of packages of a system's repositories anew. */
export async function refreshPackageLists(
  sysroot: Sysroot,
  options: ChangeLayersOptions & { force?: boolean | undefined } = {},
): Promise<PackageRepository[]> {
  using _lock = await sysroot.lock(options);
  const { layers, base, mergeEtc } = await asking(sysroot, options);
  const { force, signal, progress } = options;
  return await layers.refresh(sysroot, base, { mergeEtc, force, signal, progress });
}

/** Packages of a system's repositories that have all of the words in their name or summary. */
export async function searchPackages(
  sysroot: Sysroot,
  words: readonly string[],
  options: ChangeLayersOptions = {},
): Promise<FoundPackage[]> {
  using _lock = await sysroot.lock(options);
  const { layers, base, mergeEtc } = await asking(sysroot, options);
  const { cacheOnly, signal, progress } = options;
  return await layers.search(sysroot, base, words, { mergeEtc, cacheOnly, signal, progress });
}
