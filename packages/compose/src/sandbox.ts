import { type RunOptions, run } from './process.ts';

export interface SandboxOptions extends RunOptions {
  /** the tree that becomes / */
  root: string;
  /** the tree cannot be written to */
  readOnly?: boolean | undefined;
  /** extra paths: [on this machine, in the sandbox, writable] */
  binds?: readonly (readonly [string, string, boolean])[] | undefined;
  command: readonly string[];
}

/**
 * Runs a command inside a tree: its own mounts, processes and (empty) network, a minimal /dev, nothing of this machine
 * in sight. The sandbox ends with us, and its mounts with it, so nothing is left to unmount after a crash.
 */
export async function runInTree(options: SandboxOptions): Promise<string> {
  const args = [
    options.readOnly === true ? '--ro-bind' : '--bind',
    options.root,
    '/',
    '--dev',
    '/dev',
    '--proc',
    '/proc',
    '--tmpfs',
    '/run',
    '--tmpfs',
    '/tmp',
    '--tmpfs',
    '/var/tmp',
    ...(options.binds ?? []).flatMap(([from, to, writable]) => [writable ? '--bind' : '--ro-bind', from, to]),
    '--unshare-pid',
    '--unshare-net',
    '--unshare-ipc',
    '--unshare-uts',
    '--hostname',
    'compose',
    '--die-with-parent',
    '--new-session',
    '--cap-add',
    'ALL',
    '--clearenv',
    '--chdir',
    '/',
    ...Object.entries({
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C.UTF-8',
      HOME: '/root',
      ...options.env,
    }).flatMap(([key, value]) => ['--setenv', key, value]),
    '--',
    ...options.command,
  ];
  const { env: _, ...rest } = options;
  return await run('bwrap', args, rest);
}
