import { posix } from 'node:path';
import { AtomicError, openFileAt, type Repo } from '@atomic/ostree';

/** A module of a tree's kernel, to be loaded in this order. */
export interface KernelModule {
  name: string;
  content: Buffer;
}

const nameOf = (path: string): string =>
  posix
    .basename(path)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

/**
 * Modules of a tree's kernel with what they need, each after that. What is built into the kernel, and what the kernel
 * does not have, is left out. Throws `invalid` when `required` has one that it does not have.
 */
export function kernelModules(
  repo: Repo,
  commit: string,
  kernel: string,
  wanted: { required: readonly string[]; optional: readonly string[] },
): KernelModule[] {
  const folder = `/usr/lib/modules/${kernel}`;
  const text = (name: string): string => openFileAt(repo, commit, `${folder}/${name}`).readContent().toString('utf8');
  const needs = new Map<string, { path: string; needs: string[] }>();
  for (const line of text('modules.dep').split('\n')) {
    const [path = '', rest = ''] = line.split(':');
    if (path !== '') needs.set(nameOf(path), { path, needs: rest.split(' ').filter(Boolean) });
  }
  const builtin = new Set(text('modules.builtin').split('\n').map(nameOf));
  const order = new Map<string, KernelModule>();
  const add = (name: string): boolean => {
    const module = needs.get(name);
    if (module === undefined) return builtin.has(name);
    if (order.has(name)) return true;
    for (const path of module.needs.toReversed()) add(nameOf(path));
    order.set(name, {
      name: posix.basename(module.path),
      content: openFileAt(repo, commit, `${folder}/${module.path}`).readContent(),
    });
    return true;
  };
  for (const name of wanted.required) {
    if (!add(name)) throw new AtomicError('invalid', `the tree's kernel ${kernel} has no ${name}`);
  }
  for (const name of wanted.optional) add(name);
  return [...order.values()];
}
