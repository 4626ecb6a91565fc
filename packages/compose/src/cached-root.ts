import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { renameDurably } from './durable.ts';
import type { Installation, ManagerOptions, PackageManager } from './packages/manager.ts';

/** Bumped when the same input gives another tree. */
export const COMPOSE_FORMAT = '4';
/** Of each package manager: what one family composes does not push out what the other does. */
const KEPT_ROOTS = 4;

/**
 * A root with these packages in this state of the repositories: from the cache, or installed and put there. `anew`: in
 * place of the one that is there.
 */
export async function cachedRoot(
  manager: PackageManager,
  { request, packages }: Installation,
  repositories: string,
  cachedir: string,
  options: ManagerOptions & { anew?: boolean | undefined },
): Promise<string> {
  const directory = join(cachedir, 'roots', manager.name);
  mkdirSync(directory, { recursive: true });
  // Which packages come in is for settings to say, too, that are in neither the repositories' state nor the request.
  const key = createHash('sha256')
    .update(JSON.stringify([COMPOSE_FORMAT, manager.name, repositories, request, packages]))
    .digest('hex')
    .slice(0, 24);
  const root = join(directory, key);
  for (const name of readdirSync(directory))
    if (name.endsWith('.part')) rmSync(join(directory, name), { recursive: true, force: true });
  if (existsSync(root) && options.anew !== true)
    options.progress?.({ phase: 'packages', message: 'unchanged, taken from the cache' });
  else {
    options.progress?.({
      phase: 'packages',
      message: `installing ${request.packages.length} packages and what they need`,
    });
    await manager.install(`${root}.part`, request, options);
    if (existsSync(root)) remove(root);
    // Only a finished installation gets the name that is looked for.
    renameDurably(`${root}.part`, root);
  }
  utimesSync(root, new Date(), new Date());
  const byAge = readdirSync(directory)
    .map((name) => join(directory, name))
    .sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs);
  for (const old of byAge.slice(KEPT_ROOTS)) remove(old);
  return root;
}

/** Takes the name away first: half a root must not be found by it. */
function remove(root: string): void {
  renameSync(root, `${root}.old.part`);
  rmSync(`${root}.old.part`, { recursive: true, force: true });
}
