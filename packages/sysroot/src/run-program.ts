import { type RunProgramOptions, runProgram } from '@atomic/ostree';

export { type RunProgramOptions, runProgram };

/**
 * Runs a program of a deployment, in a sandbox whose root is that tree (bubblewrap), with `bind` as [host path, path
 * there] on top; for disks that are not running, where only their own tree is sure to have it. `readOnly` keeps it from
 * writing to the tree; `etc` is another /etc than the tree's own.
 */
export async function runInDeployment(
  tree: string,
  program: string,
  args: readonly string[],
  options: RunProgramOptions & {
    bind?: readonly (readonly [from: string, to: string])[];
    readOnly?: boolean | undefined;
    etc?: string | undefined;
  } = {},
): Promise<void> {
  const readOnly = ['block', 'bus', 'class', 'dev', 'devices'].flatMap((name) => [
    '--ro-bind',
    `/sys/${name}`,
    `/sys/${name}`,
  ]);
  const how = options.readOnly === true ? '--ro-bind' : '--bind';
  const own = ['usr', 'etc', 'var'].flatMap((name) => [
    how,
    name === 'etc' && options.etc !== undefined ? options.etc : `${tree}/${name}`,
    `/${name}`,
  ]);
  const links = ['lib', 'lib32', 'lib64', 'bin', 'sbin'].flatMap((name) => ['--symlink', `/usr/${name}`, `/${name}`]);
  const binds = (options.bind ?? []).flatMap(([from, to]) => ['--bind', from, to]);
  const isolation = ['--die-with-parent', '--unshare-pid', '--unshare-uts', '--unshare-ipc', '--unshare-cgroup-try'];
  const folders = ['--dev', '/dev', '--proc', '/proc', '--dir', '/run', '--dir', '/tmp', '--chdir', '/'];
  await runProgram(
    'bwrap',
    [...folders, ...isolation, ...readOnly, ...own, ...links, ...binds, '--', program, ...args],
    options,
  );
}
