import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import type { LockedPackage, ManagerOptions, Package, PackageManager } from './packages/manager.ts';

// The format is rpm-ostree's (rust/src/lockfile.rs of that project): packages by name, each with its version and
// architecture ("evra") or its version alone ("evr"), and the checksum of the package file.
const lockedPackage = z.union([
  z.strictObject({
    evra: z.string(),
    digest: z.string().optional(),
    metadata: z.record(z.string(), z.json()).optional(),
  }),
  z.strictObject({
    evr: z.string(),
    digest: z.string().optional(),
    metadata: z.record(z.string(), z.json()).optional(),
  }),
]);
const lockfile = z.strictObject({
  packages: z.record(z.string(), lockedPackage),
  metadata: z
    .strictObject({
      generated: z.string().optional(),
      rpmmd_repos: z.record(z.string(), z.strictObject({ generated: z.string() })).optional(),
    })
    .optional(),
});

/** Versions that packages are held to. */
export interface Lock {
  packages: (LockedPackage & { digest?: string | undefined })[];
  /** packages that no lock file names are refused */
  strict: boolean;
}

/** Reads lock files; what a later one says of a package counts. Throws AtomicError 'invalid', 'not-found'. */
export function readLockfiles(paths: readonly string[], strict = false): Lock {
  const packages = new Map<string, Lock['packages'][number]>();
  for (const path of paths) {
    for (const [name, entry] of Object.entries(parse(path).packages)) {
      const { digest } = entry;
      if ('evr' in entry) {
        packages.set(name, { name, evr: entry.evr, digest });
        continue;
      }
      const dot = entry.evra.lastIndexOf('.');
      if (dot < 1)
        throw new AtomicError('invalid', `${path}: '${name}' has the evra ${entry.evra}, which names no architecture`);
      packages.set(name, { name, evr: entry.evra.slice(0, dot), architecture: entry.evra.slice(dot + 1), digest });
    }
  }
  return { packages: [...packages.values()], strict };
}

function parse(path: string): z.output<typeof lockfile> {
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new AtomicError(
      missing ? 'not-found' : 'invalid',
      missing
        ? `there is no lock file ${path}`
        : `${path} is no JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
  const result = lockfile.safeParse(data);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new AtomicError(
    'invalid',
    `${path}: ${issue?.path.join('.') || 'it'} is not what a lock file has: ${issue?.message}`,
  );
}

/**
 * Compares what would be installed with the lock: version, architecture and, where the lock has one, the checksum of the
 * package file. Throws AtomicError 'invalid' for the first package that drifted.
 */
export async function verifyLock(
  lock: Lock,
  packages: readonly Package[],
  manager: PackageManager,
  options: ManagerOptions,
): Promise<void> {
  const locked = new Map(lock.packages.map((one) => [one.name, one]));
  const hint = 'write the lock file anew with --ex-write-lockfile-to, or provide the locked version';
  for (const { name, version, architecture } of packages) {
    const one = locked.get(name);
    if (one === undefined) {
      if (!lock.strict) continue;
      throw new AtomicError('invalid', `package ${name} ${version} would be installed, but no lock file names it`, {
        hint,
      });
    }
    if (one.evr !== version)
      throw new AtomicError(
        'invalid',
        `package ${name} is locked to ${one.evr}, but the repositories offer ${version}`,
        {
          hint,
        },
      );
    if (one.architecture !== undefined && one.architecture !== architecture)
      throw new AtomicError(
        'invalid',
        `package ${name} is locked to ${one.architecture}, but ${architecture} would be installed`,
        { hint },
      );
  }
  const withDigest = packages.filter(({ name }) => locked.get(name)?.digest !== undefined);
  if (withDigest.length === 0) return;
  const digests = await manager.digests(withDigest, options);
  for (const { name, version } of withDigest) {
    const wanted = locked.get(name)?.digest;
    const found = digests.get(name);
    if (found !== wanted)
      throw new AtomicError(
        'invalid',
        `package ${name} ${version} is not the file that was locked: its checksum is ${found ?? 'not known'}, not ${wanted}`,
        { hint },
      );
  }
}

/** Writes the lock file of what would be installed. */
export async function writeLockfile(
  path: string,
  packages: readonly Package[],
  manager: PackageManager,
  options: ManagerOptions & { now?: Date | undefined },
): Promise<void> {
  const iso = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z');
  const digests = await manager.digests(packages, options);
  const repositories = manager.repositories();
  const content = {
    packages: Object.fromEntries(
      packages.map(({ name, version, architecture }) => [
        name,
        { evra: `${version}.${architecture}`, ...(digests.has(name) ? { digest: digests.get(name) } : {}) },
      ]),
    ),
    metadata: {
      generated: iso(options.now ?? new Date()),
      rpmmd_repos: Object.fromEntries(
        repositories.map(({ id, timestamp }) => [id, { generated: iso(new Date((timestamp ?? 0) * 1000)) }]),
      ),
    },
  };
  writeFileSync(`${path}.tmp`, `${JSON.stringify(content, null, 2)}\n`);
  renameSync(`${path}.tmp`, path);
}
