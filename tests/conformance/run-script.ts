import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Suite } from './suites.ts';
import { type Exit, judge, type Outcome } from './tap.ts';

/** Programs put before the machine's own on PATH. */
export interface Shims {
  /** Holds `ostree`; undefined leaves the stock one. */
  ostree: string | undefined;
  /** Holds getfattr and setfattr that label the suite's probe file. */
  labels: string | undefined;
}

const LABEL = 'system_u:object_r:tmp_t:s0';
const HTTPD = '/usr/libexec/libostree/ostree-trivial-httpd';

function program(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

function which(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(':')
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/**
 * Makes the programs below `folder`. Upstream's scripts for mode `bare` ask for security.selinux on a fresh file, and one
 * wants that label to sort before the user.* ones; without SELinux they would skip. So just those two files get a label,
 * as an SELinux kernel would give them.
 */
export function makeShims(folder: string, ostree: string | undefined): Shims {
  const shims: Shims = { ostree: undefined, labels: undefined };
  if (ostree !== undefined) {
    shims.ostree = join(folder, 'bin');
    mkdirSync(shims.ostree, { recursive: true });
    program(join(shims.ostree, 'ostree'), `exec "${ostree}" "$@"`);
  }
  const [getfattr, setfattr] = [which('getfattr'), which('setfattr')];
  if (getfattr !== undefined && setfattr !== undefined && process.getuid?.() === 0) {
    shims.labels = join(folder, 'labels');
    mkdirSync(shims.labels, { recursive: true });
    const label = (file: string): string => `${setfattr} -n security.selinux -v ${LABEL} ${file}`;
    program(
      join(shims.labels, 'getfattr'),
      `case "$*" in *security.selinux*testlabel.txt*) ${label('testlabel.txt')} ;; esac\nexec ${getfattr} "$@"`,
    );
    program(
      join(shims.labels, 'setfattr'),
      `case "$*" in *user.a*test2-checkout/testxattrs) ${label('test2-checkout/testxattrs')} ;; esac\nexec ${setfattr} "$@"`,
    );
  }
  return shims;
}

/** Newer suites bring a web server that may not run on this machine; the installed package's serves them as well. */
export function webServer(suite: Suite): Record<string, string> {
  const own = spawnSync(join(suite.folder, 'ostree-trivial-httpd'), ['--help'], { stdio: 'ignore' });
  return own.status === 0 || !existsSync(HTTPD) ? {} : { OSTREE_HTTPD: HTTPD };
}

export interface RunOptions {
  suite: Suite;
  script: string;
  shims: Shims;
  environment: Record<string, string>;
  /** A folder on a file system with user xattrs. */
  scratch: string;
  /** Its output goes to SCRIPT.out and SCRIPT.err here. */
  logs: string;
  timeoutMs: number;
}

/** Runs one script in an empty folder of its own, and judges it. */
export async function runScript(options: RunOptions): Promise<Outcome & { seconds: number }> {
  const { suite, script, shims, logs } = options;
  const folder = mkdtempSync(join(options.scratch, 'run-'));
  mkdirSync(logs, { recursive: true });
  const out = join(logs, `${script}.out`);
  const err = join(logs, `${script}.err`);
  const files = [openSync(out, 'w'), openSync(err, 'w')] as const;
  // In the package the folder has a link `tests` to itself, which the scripts look for.
  const sources = existsSync(join(suite.folder, 'tests')) ? suite.folder : dirname(suite.folder);
  // bare-user-only drops every xattr, and its script is wrong where labels exist.
  const labels = script === 'test-basic-user-only.sh' ? undefined : shims.labels;
  const { SOURCE_DATE_EPOCH: _, NODE_COMPILE_CACHE: __, ...environment } = process.env;
  const started = performance.now();
  try {
    const exit = await new Promise<Pick<Exit, 'status' | 'timedOut'>>((resolve, reject) => {
      const child = spawn(join(suite.folder, script), {
        cwd: folder,
        stdio: ['ignore', ...files],
        // A group of its own, so that what it started can be ended with it.
        detached: true,
        env: {
          ...environment,
          ...options.environment,
          G_TEST_SRCDIR: sources,
          G_TEST_BUILDDIR: sources,
          PATH: [labels, shims.ostree, process.env['PATH']].filter((part) => part !== undefined).join(':'),
          TMPDIR: '/var/tmp',
          // Two scripts only ask for consent: they are safe in a scratch folder.
          OSTREE_TEST_ALLOW_RANDOM: '1',
          ...(process.getuid?.() === 0 && which('sudo') !== undefined ? { OSTREE_TEST_SUDO: '1' } : {}),
        },
      });
      let timedOut = false;
      const end = (): void => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
        } catch {
          // Nothing of the group is left.
        }
      };
      const timer = setTimeout(() => {
        timedOut = true;
        end();
      }, options.timeoutMs);
      child.on('error', reject);
      child.on('exit', (status) => {
        clearTimeout(timer);
        end();
        resolve({ status, timedOut });
      });
    });
    const outcome = judge({ ...exit, stdout: readFileSync(out, 'utf8'), stderr: readFileSync(err, 'utf8') });
    return { ...outcome, seconds: (performance.now() - started) / 1000 };
  } finally {
    for (const fd of files) closeSync(fd);
    // Deployments are immutable, some folders unwritable.
    spawnSync('chattr', ['-R', '-f', '-i', folder], { stdio: 'ignore' });
    spawnSync('chmod', ['-R', 'u+rwX', folder], { stdio: 'ignore' });
    rmSync(folder, { recursive: true, force: true });
  }
}
