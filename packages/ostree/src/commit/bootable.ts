import { AtomicError } from '../error.ts';
import type { DirTreeSource, TreeNode } from './tree-node.ts';

/** The release of the one kernel in `usr/lib/modules` of a tree; throws `not-found` or `invalid` in stock's words. */
export function kernelRelease(repo: DirTreeSource, root: TreeNode): string {
  let modules = root;
  let path = '';
  for (const name of ['usr', 'lib', 'modules']) {
    path += `/${name}`;
    modules.expand(repo);
    const next = modules.dirs.get(name);
    if (next === undefined)
      throw new AtomicError('not-found', `Opening usr/lib/modules: No such file or directory: ${path}`);
    modules = next;
  }
  modules.expand(repo);
  const kernels = [...modules.dirs].filter(([, dir]) => {
    dir.expand(repo);
    return dir.files.has('vmlinuz');
  });
  const [kernel] = kernels;
  if (kernel === undefined) throw new AtomicError('not-found', 'No kernel found in /usr/lib/modules');
  if (kernels.length > 1) throw new AtomicError('invalid', 'Multiple kernels found in /usr/lib/modules');
  return kernel[0];
}
