import { join } from 'node:path';
import { type Checksum, type Progress, pullLocal, Repo } from '@atomic/ostree';
import { deploy, initStateroot, initSysroot, makeOrigin, Sysroot } from '@atomic/sysroot';
import { addHostRemote, type HostRemote } from './host-remote.ts';

/** Does a part of the work and notes how long it took. */
export type Phase = <T>(name: string, work: () => Promise<T>) => Promise<T>;

/** Phases that are told of, stop at an abort, and leave their seconds in a table. */
export function phases(
  seconds: Record<string, number>,
  { signal, progress }: { signal?: AbortSignal | undefined; progress?: Progress | undefined },
): Phase {
  return async (name, work) => {
    signal?.throwIfAborted();
    progress?.({ phase: name });
    const start = performance.now();
    const result = await work();
    seconds[name] = Math.round(performance.now() - start) / 1000;
    return result;
  };
}

export interface PopulateOptions {
  repo: Repo;
  ref: string;
  commit: Checksum;
  /** Name of the stateroot. */
  os: string;
  /** All kernel arguments, `root=` among them. */
  kargs: readonly string[];
  bootloader: 'grub' | 'none';
  /** Whether /boot is a folder of the root, so that paths in boot entries begin with it. */
  bootPrefix: boolean;
  remote?: HostRemote | undefined;
  phase: Phase;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface Populated {
  version: string | undefined;
  /** The deployment's folder, and that of the state its system keeps. */
  folder: string;
  stateroot: string;
  /** The boot entry's kernel arguments, that which names the deployment among them. */
  commandLine: readonly string[];
}

/** Fill an empty root (with /boot mounted in it, if it is its own) with repository, stateroot and deployment. */
export async function populate(root: string, options: PopulateOptions): Promise<Populated> {
  const { ref, os, remote, commit, phase, signal, progress } = options;
  initSysroot(root, { bootPrefix: options.bootPrefix, bootloader: options.bootloader });
  const target = Repo.open(join(root, 'ostree/repo'));
  // The image counts only once it is whole, so syncing each step of it is time for nothing.
  target.config.set('core', 'fsync', 'false');
  target.saveConfig();
  await phase('pull', () =>
    pullLocal(target, options.repo, { remote: remote?.name ?? null, refs: [ref], signal, progress }),
  );
  if (remote) await addHostRemote(target, remote, ref, signal);
  const sysroot = Sysroot.open(root);
  initStateroot(sysroot, os);
  const deployment = await phase('deploy', () =>
    deploy(sysroot, {
      os,
      rev: commit,
      origin: makeOrigin(remote ? `${remote.name}:${ref}` : ref),
      kargs: options.kargs,
      signal,
      progress,
    }),
  );
  const finished = Repo.open(join(root, 'ostree/repo'));
  finished.config.removeKey('core', 'fsync');
  finished.saveConfig();
  return {
    version: deployment.version,
    folder: sysroot.layout.deployment(deployment),
    stateroot: join(root, 'ostree/deploy', os),
    commandLine: sysroot.load().deployments[0]?.commandLine ?? [],
  };
}
