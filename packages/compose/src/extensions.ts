import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AtomicError, type Progress } from '@atomic/ostree';
import { evrOf, type InstalledPackage } from '@atomic/pkgdb';
import { parse } from 'yaml';
import { z } from 'zod';
import { managerFor } from './choose-manager.ts';
import { type CacheOptions, holdCache } from './hold-cache.ts';
import type { LockedPackage, Package } from './packages/manager.ts';
import { baseArchitecture, sameArchitecture } from './treefile/architecture.ts';
import type { Treefile } from './treefile/treefile.ts';

// The format is rpm-ostree's (docs/extensions.md of that project).
const extension = z.strictObject({
  kind: z.enum(['os-extension', 'development']).default('os-extension'),
  packages: z.array(z.string().regex(/^[^-\s]\S*$/, 'must be a package name')).min(1),
  repos: z.array(z.string()).default([]),
  architectures: z.array(z.string()).optional(),
  'match-base-evr': z.string().optional(),
});
const extensionsSchema = z.strictObject({
  repos: z.array(z.string()).default([]),
  extensions: z.record(z.string(), extension),
});

/** Extensions for an architecture, and what they need. */
export interface Extensions {
  repos: string[];
  /** installed on hosts: with all they need */
  osPackages: string[];
  /** only fetched */
  developmentPackages: string[];
}

/**
 * Reads an extensions file against the packages of the base. Throws AtomicError 'invalid' for what is wrong with it, such
 * as a package that the base has already. `machine`: the base's architecture, by Node's name; this machine's else.
 */
export function readExtensions(path: string, base: readonly InstalledPackage[], machine?: string): Extensions {
  let data: unknown;
  try {
    data = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new AtomicError('invalid', `cannot read ${path}: ${error instanceof Error ? error.message : error}`);
  }
  const parsed = extensionsSchema.safeParse(data);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new AtomicError('invalid', `${path}: '${issue?.path.join('.')}': ${issue?.message}`);
  }
  const versions = new Map(base.map((one) => [one.name, evrOf(one)]));
  const here = baseArchitecture('deb', machine);
  const result: Extensions = { repos: [...parsed.data.repos], osPackages: [], developmentPackages: [] };
  for (const [name, one] of Object.entries(parsed.data.extensions)) {
    if (one.architectures !== undefined && !one.architectures.some((arch) => sameArchitecture(arch, here))) continue;
    result.repos.push(...one.repos);
    const present = one.kind === 'os-extension' ? one.packages.find((word) => versions.has(word)) : undefined;
    if (present !== undefined)
      throw new AtomicError('invalid', `${path}: extension '${name}' has ${present}, which the base has already`);
    const match = one['match-base-evr'];
    const evr = match === undefined ? undefined : versions.get(match);
    if (match !== undefined && evr === undefined)
      throw new AtomicError('invalid', `${path}: extension '${name}' matches ${match}, which the base does not have`);
    const wanted = evr === undefined ? one.packages : one.packages.map((word) => `${word}=${evr}`);
    (one.kind === 'os-extension' ? result.osPackages : result.developmentPackages).push(...wanted);
  }
  return result;
}

export interface ExtensionsOptions extends CacheOptions {
  treefile: Treefile;
  /** packages of the commit or root the extensions are for */
  base: readonly InstalledPackage[];
  outputDir: string;
  progress?: Progress | undefined;
}

/** What rpm-ostree keeps the state of the folder in. */
const STATE = '.rpm-ostree-state-chksum';

/**
 * Fetches the packages of extensions, with what they need beyond the base, into a folder. The base's packages keep their
 * versions: an extension that does not fit them fails. Resolves to the packages, `changed` false when all were there.
 */
export async function composeExtensions(
  path: string,
  options: ExtensionsOptions,
): Promise<{ packages: Package[]; changed: boolean }> {
  const extensions = readExtensions(path, options.base, options.treefile.machine);
  return await holdCache(options, (cachedir) => fetchExtensions(extensions, { ...options, cachedir }));
}

async function fetchExtensions(
  extensions: Extensions,
  options: ExtensionsOptions,
): Promise<{ packages: Package[]; changed: boolean }> {
  const { treefile, base, cachedir, signal, progress } = options;
  const repos = [...treefile.repos, ...extensions.repos.filter((id) => !treefile.repos.includes(id))];
  const manager = managerFor({ ...treefile, repos }, cachedir);
  const { fetch } = manager;
  if (fetch === undefined) throw new AtomicError('unsupported', `extensions are not supported with ${manager.name}`);
  await manager.refresh({ signal, progress });
  const locked: LockedPackage[] = base.map((one) => ({ name: one.name, evr: evrOf(one) }));
  const request = { exclude: treefile.excludePackages, recommends: false, documentation: true };
  const names = new Set(base.map((one) => one.name));
  const needed =
    extensions.osPackages.length === 0
      ? []
      : await manager.resolve(
          { ...request, packages: [...names, ...extensions.osPackages], locked },
          { signal, progress },
        );
  const versions = new Map(base.map((one) => [one.name, evrOf(one)]));
  for (const { name, version } of needed) {
    const here = versions.get(name);
    if (here !== undefined && here !== version)
      throw new AtomicError('invalid', `the extensions need ${name} ${version}, but the base has ${here}`);
  }
  const os = needed.filter(({ name }) => !names.has(name));
  const words = [...os.map(({ name, version }) => `${name}=${version}`), ...extensions.developmentPackages];
  const state = createHash('sha256').update(JSON.stringify(words.sort())).digest('hex');
  const stateFile = join(options.outputDir, STATE);
  if (existsSync(stateFile) && readFileSync(stateFile, 'utf8').trim() === state)
    return { packages: os, changed: false };
  mkdirSync(options.outputDir, { recursive: true });
  await fetch.call(manager, words, resolve(options.outputDir), { signal, progress });
  // Last: a folder with this file is whole.
  writeFileSync(stateFile, `${state}\n`);
  return { packages: os, changed: true };
}
