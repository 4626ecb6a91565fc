import { AtomicError, type Checksum, type KeyFile, type Progress } from '@atomic/ostree';
import type { Deployment, SysrootState } from '../deployment.ts';
import type { Sysroot } from '../sysroot.ts';
import type { AssembledLayer, LayerAssembler } from './assembler.ts';
import { editRequests, type RequestEdits } from './edit-requests.ts';
import { isPackageFile, keepPackage, withFiles } from './package-store.ts';
import { hasRequests, packageName, type Requests, readRequests, writeRequests } from './requests.ts';
import { dropCommands, noteStuck } from './stuck.ts';

/** Changes of what is layered, as somebody asks for them: package files by their paths. */
export interface LayerEdits extends Omit<RequestEdits, 'local' | 'localFileOverride' | 'replace'> {
  /** With `install`: package files may replace files of other packages. */
  forceReplaceFiles?: boolean | undefined;
  /** Package files. */
  replace?: readonly string[] | undefined;
  /** Keep requests that the base meets already: they count should it do so no more. */
  allowInactive?: boolean | undefined;
}

export interface LayOptions {
  /** Who runs the package manager; asked for only where something is layered. */
  layers?: (() => Promise<LayerAssembler>) | undefined;
  edits?: LayerEdits | undefined;
  cacheOnly?: boolean | undefined;
  downloadOnly?: boolean | undefined;
  /** The newest of the branch: if nothing goes onto it, that is to be told of until something does. */
  keepsUp?: boolean | undefined;
  /** Find out what would change, deploy nothing. */
  dryRun?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

/** What is to be deployed. */
export interface Laid {
  /** The base itself where nothing is layered; null after `dryRun` and `downloadOnly` of layers. */
  commit: Checksum | null;
  /** Null where nothing is layered. */
  layer: AssembledLayer | null;
}

/** The assembler; throws `unsupported` where there is none. */
export async function requireLayers(options: Pick<LayOptions, 'layers'>): Promise<LayerAssembler> {
  if (options.layers !== undefined) return await options.layers();
  throw new AtomicError('unsupported', 'packages are layered on this system, which this command cannot do again', {
    hint: 'use: atomic host',
  });
}

/** The folder whose package repositories count: the running system's /etc, else that of the deployment gone on from. */
export const etcOf = (sysroot: Sysroot, state: SysrootState, os: string, current: Deployment): string =>
  state.booted?.os === os
    ? `${sysroot.root === '/' ? '' : sysroot.root}/etc`
    : `${sysroot.layout.deployment(current)}/etc`;

/** Keeps the package files that edits name, and finds what they are. */
async function resolveEdits(
  sysroot: Sysroot,
  base: Checksum,
  edits: LayerEdits,
  options: LayOptions,
): Promise<RequestEdits> {
  const keep = async (paths: readonly string[]) => {
    if (paths.length === 0) return [];
    const layers = await requireLayers(options);
    const kept = [];
    for (const path of paths) kept.push(await keepPackage(sysroot, layers, base, path.replace(/^file:\/\//, '')));
    return kept;
  };
  const install = edits.install ?? [];
  const files = await keep(install.filter(isPackageFile));
  return {
    ...edits,
    install: install.filter((word) => !isPackageFile(word)),
    ...(edits.forceReplaceFiles ? { localFileOverride: files } : { local: files }),
    replace: await keep(edits.replace ?? []),
  };
}

/**
 * Puts what an origin asks for onto a base, edits first, which go into the origin. Throws what the package manager has
 * against it, and where it is the base that is new, what to do about it.
 */
export async function lay(
  sysroot: Sysroot,
  state: SysrootState,
  current: Deployment,
  base: Checksum,
  origin: KeyFile,
  options: LayOptions & { os?: string | undefined },
): Promise<Laid> {
  const os = options.os ?? current.os;
  const before = readRequests(origin);
  const { edits } = options;
  const resolved = edits === undefined ? undefined : await resolveEdits(sysroot, base, edits, options);
  const requests = resolved === undefined ? before : editRequests(before, resolved);
  writeRequests(origin, requests);
  if (!hasRequests(requests)) return { commit: base, layer: null };
  const layers = await requireLayers(options);
  try {
    const { signal, progress, cacheOnly, downloadOnly, dryRun } = options;
    const layer = await layers.assemble(sysroot, base, await withFiles(sysroot, requests), {
      mergeEtc: etcOf(sysroot, state, os, current),
      previous: current.base === base && current.checksum !== base ? current.checksum : undefined,
      cacheOnly,
      downloadOnly,
      dryRun,
      signal,
      progress,
    });
    if (resolved !== undefined && edits?.allowInactive !== true) refuseInactive(layer, resolved);
    return { commit: layer.commit, layer };
  } catch (error) {
    throw explain(sysroot, os, error, {
      requests,
      base,
      onNewBase: base !== current.base,
      note: options.keepsUp === true,
    });
  }
}

/** Refuses what is asked for now and has no effect; what was asked for earlier may have one on a later base again. */
function refuseInactive({ inactive }: AssembledLayer, edits: RequestEdits): void {
  const names = (files: RequestEdits['local'] = []) => files.map(({ name }) => name);
  const added = [...(edits.install ?? []), ...names(edits.local), ...names(edits.localFileOverride)];
  const overrides = [...(edits.remove ?? []), ...names(edits.replace), ...(edits.replaceFrom?.packages ?? [])];
  for (const { request, by } of inactive) {
    if (by !== null && added.includes(request))
      throw new AtomicError(
        'invalid',
        `"${request}" is already provided by: ${by}. Use --allow-inactive to explicitly require it.`,
      );
    if (by === null && overrides.includes(request))
      throw new AtomicError(
        'not-found',
        `package '${packageName(request)}' is not in the base, so there is nothing to override`,
        { hint: 'see what is: atomic db list' },
      );
  }
}

/** A package manager's failure, with what it means for the system; noted where an update is kept back by it. */
function explain(
  sysroot: Sysroot,
  os: string,
  error: unknown,
  about: { requests: Requests; base: Checksum; onNewBase: boolean; note: boolean },
): unknown {
  if (!about.onNewBase || !(error instanceof AtomicError)) return error;
  if (error.code === 'aborted' || error.code === 'locked' || error.code === 'usage') return error;
  const { version } = sysroot.commitFacts(about.base);
  if (about.note) noteStuck(sysroot, os, { base: about.base, version, reason: error.message });
  const name = version ?? about.base.slice(0, 10);
  return new AtomicError(error.code, `what is layered here does not go onto ${name}: ${error.message}`, {
    hint: `the system is as it was. To go on without it: ${dropCommands(about.requests, error.message).join('; ')}`,
    cause: error,
  });
}
