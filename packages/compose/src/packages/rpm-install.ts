import { lstatSync, mkdirSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { run } from '../process.ts';
import { removeInTree } from '../tree-files.ts';
import type { ManagerOptions } from './manager.ts';
import { linkRpmdb, RPMDB } from './rpmdb.ts';

export interface RpmFile {
  name: string;
  path: string;
}

/** Settings of rpm that must not be this machine's. */
const DEFINES = ['_db_backend sqlite', '_pkgverify_level digest'];

/** A script of a package that did not end well, from rpm's output; undefined when there is none. */
export function failedScript(output: string): AtomicError | undefined {
  const match = /^(?:error|warning): (%\S+)\((.+)\) scriptlet failed, (exit status|signal) (\d+)/m.exec(output);
  if (match === null) return undefined;
  const [, script, nevra, how, number] = match;
  const before = output.slice(0, match.index).trim().split('\n').at(-1) ?? '';
  const said =
    before === '' || /^(Preparing|Verifying|Updating|Cleaning)|^[\w.+~^-]+-[^-\s]+-[^-\s]+$/.test(before)
      ? ''
      : `: ${before}`;
  return new AtomicError(
    'failed',
    `the script ${script === '%prein' ? '%pre' : script} of ${nevra} failed with ${how === 'signal' ? 'signal' : 'status'} ${number}${said}`,
  );
}

/** What rpm could not do, in one line. */
export function explainRpm(output: string): AtomicError {
  const script = failedScript(output);
  if (script !== undefined) return script;
  if (/No space left on device|needs \S+ (?:more space )?on the \S+ filesystem/i.test(output))
    return new AtomicError('no-space', 'no space left while installing packages', {
      hint: 'free some space, or put the cache elsewhere with --cachedir',
    });
  const both = /^\s*file (\S+) conflicts between attempted installs of (\S+) and (\S+)/m.exec(output);
  if (both !== null)
    return new AtomicError(
      'invalid',
      `the packages do not fit together: ${both[2]} and ${both[3]} both have ${both[1]}`,
    );
  const other = /^\s*file (\S+) from install of (\S+) conflicts with file from package (\S+)/m.exec(output);
  if (other !== null)
    return new AtomicError('invalid', `package ${other[2]} has ${other[1]}, which is in package ${other[3]}, too`, {
      hint: 'the two cannot be together',
    });
  const unmet = /^error: Failed dependencies:\n\s*(.*)$/m.exec(output);
  if (unmet !== null) return new AtomicError('invalid', `the packages do not fit together: ${unmet[1]?.trim()}`);
  const error = /^error: (.*)$/m.exec(output);
  return new AtomicError(
    'failed',
    `rpm failed: ${error?.[1] ?? output.trim().split('\n').at(-1) ?? 'it said nothing'}`,
  );
}

/**
 * Checks that each package is signed with one of its repository's keys. Throws AtomicError 'invalid' naming the first
 * that is not.
 */
export async function checkSignatures(
  packages: readonly (RpmFile & { repo: string })[],
  keys: Readonly<Record<string, readonly string[]>>,
  options: Pick<ManagerOptions, 'signal'>,
): Promise<void> {
  for (const [repo, files] of Object.entries(keys)) {
    const those = packages.filter((one) => one.repo === repo);
    if (those.length === 0) continue;
    if (files.length === 0)
      throw new AtomicError('invalid', `repository '${repo}' has no key to check its packages with`, {
        hint: 'name one with gpgkey= in its .repo file, or write gpgcheck=0 there',
      });
    const dbpath = mkdtempSync(join(tmpdir(), 'atomic-keys-'));
    try {
      const rpmkeys = (args: readonly string[], explain: (output: string) => AtomicError): Promise<string> =>
        run('rpmkeys', ['--dbpath', dbpath, ...args], { signal: options.signal, explain });
      await rpmkeys(
        ['--import', ...files],
        () => new AtomicError('invalid', `a key of repository '${repo}' is no OpenPGP key`),
      );
      const level = ['--define', '_pkgverify_level all', '--checksig', '--', ...those.map((one) => one.path)];
      await rpmkeys(level, (output) => {
        const bad = /^(\S+): .*(?:NOT OK|NOKEY|BAD)/m.exec(output)?.[1];
        const name = those.find((one) => one.path === bad)?.name ?? bad ?? '';
        return new AtomicError('invalid', `package ${name} is not signed with a key of repository '${repo}'`);
      });
    } finally {
      rmSync(dbpath, { recursive: true, force: true });
    }
  }
}

/** The folders of this machine that programs need, as they are: links (/bin) stay links. */
function hostPrograms(): string[] {
  return ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc'].flatMap((path) => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return [];
    return stat.isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
  });
}

export interface RpmInstallOptions extends ManagerOptions {
  documentation: boolean;
  /** languages whose files are kept; undefined: all */
  installLangs?: readonly string[] | undefined;
}

/**
 * Installs package files into a root with this machine's rpm, which orders them and runs their scripts inside the root:
 * without network, in a process namespace that ends with it, this machine's programs read-only and nothing else of it.
 * A script that fails fails the installation. Throws AtomicError.
 */
export async function installRpms(
  root: string,
  packages: readonly RpmFile[],
  options: RpmInstallOptions,
): Promise<void> {
  for (const name of ['dev', 'proc', 'sys', 'run', 'tmp', 'var/tmp', 'etc'])
    mkdirSync(join(root, name), { recursive: true });
  linkRpmdb(root);
  const binds = new Map(packages.map((one) => [dirname(one.path), '']));
  [...binds.keys()].forEach((folder, index) => void binds.set(folder, `/packages/${index}`));
  const files = packages.map(
    (one) => `${binds.get(dirname(one.path))}/${one.path.slice(dirname(one.path).length + 1)}`,
  );
  const langs = options.installLangs === undefined ? [] : [`_install_langs ${options.installLangs.join(':')}`];
  let done = 0;
  const command = [
    // One stream, so that what a script said stands before what rpm says of it.
    ...['sh', '-c', 'exec "$@" 2>&1', 'sh'],
    ...['rpm', '--upgrade', '--verbose', '--root', '/tree', '--dbpath', `/${RPMDB}`, '--noplugins', '--nosignature'],
    ...[...DEFINES, ...langs].flatMap((define) => ['--define', define]),
    ...(options.documentation ? [] : ['--excludedocs']),
    '--',
    ...files,
  ];
  const output: string[] = [];
  await run(
    'bwrap',
    [
      ...hostPrograms(),
      ...['--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp', '--tmpfs', '/var', '--tmpfs', '/run'],
      ...['--bind', root, '/tree', '--dev', '/tree/dev', '--proc', '/tree/proc'],
      ...['--tmpfs', '/tree/run', '--tmpfs', '/tree/tmp', '--tmpfs', '/tree/var/tmp'],
      ...[...binds].flatMap(([from, to]) => ['--ro-bind', from, to]),
      ...['--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--hostname', 'compose'],
      ...['--die-with-parent', '--new-session', '--cap-add', 'ALL', '--chdir', '/', '--', ...command],
    ],
    {
      // The day of installation is not the packages': equal packages, equal database.
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', HOME: '/root', SOURCE_DATE_EPOCH: '0' },
      signal: options.signal,
      discardOutput: true,
      onLine: (line) => {
        output.push(line);
        if (packages.some((one) => line.startsWith(`${one.name}-`)))
          options.progress?.({ phase: 'packages', done: ++done, total: packages.length, message: line });
      },
      explain: explainRpm,
    },
  );
  const failed = failedScript(output.join('\n'));
  if (failed !== undefined) throw failed;
  for (const name of ['var/lib/dnf', 'var/cache/dnf', 'var/log/dnf.log']) removeInTree(root, name);
}
