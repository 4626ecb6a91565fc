import { chmodSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setImmutable, withFd } from '@atomic/linux';
import { AtomicError, type BeginOptions } from '@atomic/ostree';
import { deploy, mergeDeployment } from './deploy.ts';
import type { Deployment } from './deployment.ts';
import { deploymentName } from './layout.ts';
import { writeOrigin } from './origin.ts';
import { runProgram } from './run-program.ts';
import type { Sysroot } from './sysroot.ts';
import type { LogOptions } from './write-deployments.ts';

/** `development` and `transient` end with the boot; `transient` is mounted read-only at first; a `hotfix` stays. */
export type UnlockKind = 'development' | 'hotfix' | 'transient';

/** mkdir -p of one folder with a mode that no umask narrows. */
function makeFolder(path: string, mode: number): void {
  mkdirSync(path, { recursive: true, mode });
  chmodSync(path, mode);
}

/**
 * Mounts a writable overlay on /usr of the running system (`ostree admin unlock`). A hotfix first leaves a copy of the
 * deployment as the one to roll back to. Throws `invalid` when nothing is booted or it is unlocked already.
 */
export async function unlock(
  sysroot: Sysroot,
  kind: UnlockKind,
  options: BeginOptions & LogOptions = {},
): Promise<Deployment> {
  using _lock = await sysroot.lock(options);
  const { booted } = sysroot.load();
  if (booted === null) throw new AtomicError('invalid', 'Not currently booted into an OSTree system');
  if (booted.unlocked !== 'none') {
    throw new AtomicError('invalid', `Deployment is already in unlocked state: ${booted.unlocked}`);
  }
  if (kind === 'hotfix') await leaveCopy(sysroot, booted, options);
  const tree = sysroot.layout.deployment(booted);
  const mode = statSync(`${tree}/usr`).mode & 0o7777;
  withFd(tree, (fd) => setImmutable(fd, false));
  let folders: { upper: string; work: string };
  if (kind === 'hotfix') {
    // ostree-prepare-root looks for these names at each boot.
    folders = { upper: '.usr-ovl-upper', work: '.usr-ovl-work' };
  } else {
    // On the deployment's own disk, and never what another boot left.
    const folder = `${sysroot.layout.backing(booted)}/usr-transient`;
    rmSync(folder, { recursive: true, force: true });
    makeFolder(folder, mode);
    const relative = `../../backing/${deploymentName(booted)}/usr-transient`;
    folders = { upper: `${relative}/upper`, work: `${relative}/work` };
  }
  for (const folder of Object.values(folders)) makeFolder(`${tree}/${folder}`, mode);
  const overlay = `lowerdir=usr,upperdir=${folders.upper},workdir=${folders.work}${kind === 'transient' ? ',ro' : ''}`;
  await runProgram('mount', ['-t', 'overlay', '-o', overlay, 'overlay', '/usr'], { cwd: tree });
  if (kind === 'hotfix') {
    const origin = booted.origin?.clone();
    if (origin === undefined) throw new AtomicError('invalid', 'the deployment has no origin to note the hotfix in');
    origin.set('origin', 'unlocked', 'hotfix');
    writeOrigin(sysroot.layout.origin(booted), origin);
  } else {
    const mark = sysroot.unlockedMark(booted, kind);
    mkdirSync(dirname(mark), { recursive: true, mode: 0o755 });
    writeFileSync(mark, '');
  }
  sysroot.touch();
  return { ...booted, unlocked: kind };
}

/** Deploys the booted commit again, after the booted one in the order. */
async function leaveCopy(sysroot: Sysroot, booted: Deployment, options: BeginOptions & LogOptions): Promise<void> {
  const merge = mergeDeployment(sysroot.load(), booted.os);
  if (merge === null || booted.origin === null) throw new AtomicError('invalid', 'No previous deployment to duplicate');
  await deploy(sysroot, {
    ...options,
    os: booted.os,
    rev: booted.checksum,
    origin: booted.origin.clone(),
    mergeFrom: merge,
    kargs: merge.commandLine,
    retain: { notAsDefault: true },
  });
}
