import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { AtomicError, type Checksum } from '@atomic/ostree';
import type { Deployment } from '../deployment.ts';
import type { Sysroot } from '../sysroot.ts';
import type { LayerAssembler, LayerRequests, LocalPackage } from './assembler.ts';
import { type PinnedPackage, packageName, type Requests, readRequests } from './requests.ts';

/** Package files given by hand, named by their checksum: outside the repository, for stock tools know nothing of them. */
const storeFolder = (sysroot: Sysroot) => `${layeringFolder(sysroot)}/packages`;

/** What layering has on the disk besides commits: package files, `cache`, and `work`, which is gone when it is done. */
const layeringFolder = (sysroot: Sysroot) => `${sysroot.layout.ostree}/extensions/atomic`;

/** Removes what an interrupted layering left. Nobody works there: who does, holds the sysroot's lock. */
export const removeLayeringWork = (sysroot: Sysroot): void =>
  rmSync(`${layeringFolder(sysroot)}/work`, { recursive: true, force: true });

const SUFFIXES = ['.deb', '.rpm'] as const;

/** Whether somebody means a package file, not a name. */
export const isPackageFile = (word: string): boolean => SUFFIXES.some((suffix) => word.endsWith(suffix));

const pathOf = (sysroot: Sysroot, sha256: string): string | undefined =>
  SUFFIXES.map((suffix) => `${storeFolder(sysroot)}/${sha256}${suffix}`).find((path) => existsSync(path));

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/**
 * Copies a package file to where it is kept, and reads what it is from the copy. A crash leaves a copy that no origin
 * names, which the next cleanup removes. Throws `not-found`, and `invalid` for what is no package of the base's kind.
 */
export async function keepPackage(
  sysroot: Sysroot,
  layers: LayerAssembler,
  base: Checksum,
  path: string,
): Promise<LocalPackage> {
  const folder = storeFolder(sysroot);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const suffix = SUFFIXES.find((one) => path.endsWith(one)) ?? '';
  const aside = `${folder}/.new-${randomBytes(6).toString('hex')}${suffix}`;
  try {
    const hash = createHash('sha256');
    const tee = async function* (source: AsyncIterable<Buffer>) {
      for await (const chunk of source) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(createReadStream(path), tee, createWriteStream(aside, { flags: 'wx', mode: 0o644, flush: true }));
    const sha256 = hash.digest('hex');
    const { name } = await layers.identify(sysroot, base, aside);
    const kept = `${folder}/${sha256}${suffix}`;
    renameSync(aside, kept);
    fsyncPath(folder);
    return { name, sha256, path: kept };
  } catch (error) {
    rmSync(aside, { force: true });
    if (errnoCode(error) === 'ENOENT') throw new AtomicError('not-found', `there is no file ${path}`);
    if (errnoCode(error) === 'EISDIR') throw new AtomicError('invalid', `${path} is a folder, not a package`);
    throw error;
  }
}

/** Requests as the package manager gets them. Throws `not-found` or `corrupt` when a package file is not as it was. */
export async function withFiles(sysroot: Sysroot, requests: Requests): Promise<LayerRequests> {
  const find = async ({ name, sha256 }: PinnedPackage): Promise<LocalPackage> => {
    const path = pathOf(sysroot, sha256);
    const again = `to go on without it: atomic host uninstall ${packageName(name)}, or give the file again`;
    if (path === undefined) {
      throw new AtomicError('not-found', `the file of package ${name} is not kept here any more`, { hint: again });
    }
    if ((await sha256Of(path)) !== sha256) {
      throw new AtomicError('corrupt', `the kept file of package ${name} was damaged: ${path}`, { hint: again });
    }
    return { name, sha256, path };
  };
  return {
    ...requests,
    local: await Promise.all(requests.local.map(find)),
    localFileOverride: await Promise.all(requests.localFileOverride.map(find)),
    replace: await Promise.all(requests.replace.map(find)),
  };
}

/** Removes package files that no deployment's origin names. */
export function removeUnusedPackages(sysroot: Sysroot, deployments: readonly Deployment[]): void {
  const folder = storeFolder(sysroot);
  if (!existsSync(folder)) return;
  const used = new Set(
    deployments.flatMap(({ origin }) => {
      const { local, localFileOverride, replace } = readRequests(origin);
      return [...local, ...localFileOverride, ...replace].map(({ sha256 }) => sha256);
    }),
  );
  for (const name of readdirSync(folder)) {
    if (!used.has(name.slice(0, 64))) rmSync(`${folder}/${name}`, { force: true });
  }
}
