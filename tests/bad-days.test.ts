/**
 * What goes wrong on a bad day, through the real commands: what is said, what is left behind, and that the next run
 * works. (Servers that misbehave: tests/interop/pull*. Power cuts: tests/power.)
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLock } from '@atomic/linux';

const bin = path.join(import.meta.dirname, '../bin');
const ATOMIC = path.join(bin, 'atomic');
const OSTREE = path.join(bin, 'ostree');
const STOCK = '/usr/bin/ostree';

const root = process.getuid?.() === 0;
const noStock = existsSync(STOCK) ? false : 'the stock ostree tool is not installed';
const notRoot = root ? false : 'needs root';

let work = '';
const env = { ...process.env, LC_ALL: 'C.UTF-8', NO_COLOR: '1' };

interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

function run(program: string, args: readonly string[]): Result {
  return spawnSync(program, args, { cwd: work, env, encoding: 'utf8', timeout: 60_000 });
}
function good(program: string, args: readonly string[]): string {
  const result = run(program, args);
  assert.equal(result.status, 0, `${path.basename(program)} ${args.join(' ')}: ${result.stderr}`);
  return result.stdout.trim();
}
/** A command that must fail: one `error:` line that says why, and no stack. */
function bad(program: string, args: readonly string[], message: RegExp, status = 1): Result {
  const result = run(program, args);
  assert.equal(result.status, status, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
  assert.match(result.stderr, message);
  assert.equal(result.stderr.split('\n').filter((line) => line.startsWith('error: ')).length, 1, result.stderr);
  assert.doesNotMatch(result.stderr, /^\s+at .*:\d+:\d+/m);
  return result;
}

class Running {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly ended: Promise<number | null>;

  constructor(program: string, args: readonly string[]) {
    this.child = spawn(program, args, { cwd: work, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.ended = once(this.child, 'close').then(() => this.child.exitCode);
  }
}

/** Waits until something holds, or the process has ended. */
async function until(what: () => boolean, running?: Running): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    if (what()) return;
    if (running?.child.exitCode !== undefined && running?.child.exitCode !== null) return;
    await sleep(5);
  }
  assert.fail('waited 15 seconds in vain');
}

function fsck(repo: string): void {
  good(OSTREE, ['fsck', `--repo=${repo}`]);
  if (!noStock) good(STOCK, ['fsck', `--repo=${repo}`]);
}

function makeTree(name: string, files: number, bytes: number): void {
  for (let i = 0; i < files; i++) {
    const folder = path.join(work, name, `dir-${i % 50}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, `file-${i}`), Buffer.alloc(bytes, `${name} ${i} `));
  }
}

before(() => {
  work = mkdtempSync(path.join(tmpdir(), 'atomic-bad-'));
  chmodSync(work, 0o755);
  makeTree('tree', 30, 100);
  makeTree('large', 4000, 2000);
  good(OSTREE, ['init', '--repo=repo', '--mode=archive']);
  good(OSTREE, ['commit', '--repo=repo', '-b', 'main', '--canonical-permissions', 'tree']);
});
after(() => {
  if (work !== '') rmSync(work, { recursive: true, force: true });
});

describe('no repository, or a broken one', () => {
  test('missing', () => {
    for (const verb of [
      ['refs'],
      ['fsck'],
      ['commit', '-b', 'x', 'tree'],
      ['pull', 'origin', 'x'],
      ['checkout', 'x', 'y'],
      ['prune'],
    ]) {
      const { stderr } = bad(
        OSTREE,
        [...verb, '--repo=nowhere'],
        /^error: opening repo: opendir\(.*nowhere\): No such file or directory$/m,
      );
      assert.match(stderr, /hint: make one with: ostree init/);
    }
  });
  test('a config that is none', () => {
    mkdirSync(path.join(work, 'broken/objects'), { recursive: true });
    for (const [config, message] of [
      ['nonsense', /error: .*nonsense|error: .*config/],
      ['[core]\nrepo_version=9\nmode=bare\n', /Invalid repository version '9'/],
      ['[core]\nrepo_version=1\nmode=frob\n', /Invalid mode 'frob'/],
    ] as const) {
      writeFileSync(path.join(work, 'broken/config'), config);
      bad(OSTREE, ['refs', '--repo=broken'], message);
    }
  });
  test('an object that is damaged, then missing', () => {
    good(OSTREE, ['init', '--repo=damaged', '--mode=archive']);
    good(OSTREE, ['commit', '--repo=damaged', '-b', 'main', 'tree']);
    const line = good(OSTREE, ['ls', '--repo=damaged', '-C', 'main', '/dir-1/file-1']);
    const checksum = line.split(/\s+/)[4] ?? '';
    const file = path.join(work, 'damaged/objects', checksum.slice(0, 2), `${checksum.slice(2)}.filez`);
    const bytes = readFileSync(file);
    bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 0xff;
    writeFileSync(file, bytes);
    bad(OSTREE, ['fsck', '--repo=damaged'], new RegExp(checksum));
    bad(OSTREE, ['checkout', '--repo=damaged', '-U', 'main', 'never'], /error: /);
    assert.ok(!existsSync(path.join(work, 'never')));
    rmSync(file);
    bad(OSTREE, ['fsck', '--repo=damaged'], new RegExp(checksum));
  });
});

describe('a treefile with mistakes', () => {
  test('an unknown key and a wrong type name the line and what is allowed', () => {
    writeFileSync(path.join(work, 'typo.yaml'), 'ref: a/b\npackags: [bash]\n');
    const args = ['compose', 'tree', '--repo=repo', '--cachedir=cache'];
    const { stderr } = bad(
      ATOMIC,
      [...args, 'typo.yaml'],
      /typo\.yaml:2: unknown key 'packags'; did you mean 'packages'\?/,
    );
    assert.match(stderr, /hint: allowed keys: /);
    writeFileSync(path.join(work, 'type.yaml'), 'ref: a/b\npackages: bash\n');
    bad(ATOMIC, [...args, 'type.yaml'], /type\.yaml:2: 'packages' must be a list/);
    bad(ATOMIC, [...args, 'nosuch.yaml'], /cannot read treefile .*nosuch\.yaml/);
    assert.ok(!existsSync(path.join(work, 'cache')), 'a mistake is found before anything is made');
  });
});

describe('not root', { skip: notRoot }, () => {
  const nobody = (program: string, args: readonly string[]): Result =>
    run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', program, ...args]);
  const readable = nobody(ATOMIC, ['--version']).status === 0;
  const skip = readable ? false : 'this checkout cannot be read by another user';

  test('writing to a repository of root', { skip }, () => {
    const result = nobody(OSTREE, ['commit', '--repo=repo', '-b', 'x', 'tree']);
    assert.equal(result.status, 1);
    assert.match(result.stderr, /^error: .*permission/im);
    assert.match(result.stderr, /hint: .*root/);
    fsck('repo');
  });
  test('reading it is allowed', { skip }, () => {
    assert.equal(nobody(OSTREE, ['refs', '--repo=repo']).stdout, 'main\n');
  });
  test('composing, and changing the host, say that root is needed', { skip }, () => {
    writeFileSync(path.join(work, 'fine.yaml'), 'ref: a/b\npackages: [bash]\nsuite: bookworm\n');
    for (const args of [
      ['compose', 'tree', '--repo=repo', '--cachedir=cache', 'fine.yaml'],
      ['host', 'upgrade'],
    ]) {
      const result = nobody(ATOMIC, args);
      assert.equal(result.status, 1, result.stderr);
      assert.match(result.stderr, /^error: /m);
      assert.doesNotMatch(result.stderr, /^\s+at /m);
    }
  });
});

describe('no space', { skip: notRoot }, () => {
  test('a commit that does not fit changes nothing, and fits once there is room', async (t) => {
    const mount = path.join(work, 'small');
    mkdirSync(mount);
    const mounted = run('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', mount]);
    if (mounted.status !== 0) return t.skip(`cannot mount a tmpfs: ${mounted.stderr.trim()}`);
    try {
      for (const mode of ['archive', 'bare']) {
        const repo = `small/${mode}`;
        good(OSTREE, ['init', `--repo=${repo}`, `--mode=${mode}`]);
        const first = good(OSTREE, ['commit', `--repo=${repo}`, '-b', 'main', '--no-xattrs', 'tree']);
        mkdirSync(path.join(work, 'incompressible'), { recursive: true });
        spawnSync('sh', ['-c', 'head -c 9000000 /dev/urandom | split -b 300000 - incompressible/part-'], { cwd: work });
        bad(
          OSTREE,
          ['commit', `--repo=${repo}`, '-b', 'main', '--no-xattrs', 'incompressible'],
          /no space|ENOSPC|free/i,
        );
        assert.equal(good(OSTREE, ['rev-parse', `--repo=${repo}`, 'main']), first);
        fsck(repo);
        assert.equal(run('mount', ['-o', 'remount,size=60m', mount]).status, 0);
        good(OSTREE, ['commit', `--repo=${repo}`, '-b', 'main', '--no-xattrs', 'incompressible']);
        fsck(repo);
        rmSync(path.join(work, repo), { recursive: true });
        assert.equal(run('mount', ['-o', 'remount,size=6m', mount]).status, 0);
      }
    } finally {
      run('umount', [mount]);
    }
  });
});

describe('no network', () => {
  test('a pull says what it could not reach, and leaves the repository as it was', () => {
    good(OSTREE, ['init', '--repo=offline', '--mode=bare-user']);
    good(OSTREE, ['remote', 'add', '--repo=offline', '--no-gpg-verify', 'origin', 'http://127.0.0.1:9/repo']);
    bad(OSTREE, ['pull', '--repo=offline', '--network-retries=0', 'origin', 'main'], /^error: .*127\.0\.0\.1:9/m);
    assert.equal(good(OSTREE, ['refs', '--repo=offline']), '');
    fsck('offline');
  });
});

describe('interrupted', () => {
  /** Interrupts a command once `begun` holds; it must end by the signal, and say so. */
  async function interrupt(running: Running, begun: () => boolean, name: NodeJS.Signals = 'SIGINT'): Promise<void> {
    await until(begun, running);
    running.child.kill(name);
    const status = await running.ended;
    assert.equal(status, name === 'SIGINT' ? 130 : 143, `${running.stdout}${running.stderr}`);
    assert.match(running.stderr, new RegExp(`error: Interrupted by ${name}`));
  }
  /** How many objects wait in staging folders. */
  const staged = (repo: string): number =>
    readdirSync(path.join(work, repo, 'tmp'), { recursive: true }).filter((name) => String(name).startsWith('staging-'))
      .length;

  for (const mode of ['archive', 'bare-user']) {
    test(`commit to a repository of mode ${mode}`, async () => {
      const repo = `cut-${mode}`;
      good(OSTREE, ['init', `--repo=${repo}`, `--mode=${mode}`]);
      for (const name of ['SIGINT', 'SIGTERM'] as const) {
        // The second run takes over what the first one staged.
        const there = staged(repo);
        const running = new Running(OSTREE, ['commit', `--repo=${repo}`, '-b', 'main', 'large']);
        await interrupt(running, () => staged(repo) > there + 50, name);
        assert.equal(good(OSTREE, ['refs', `--repo=${repo}`]), '');
        fsck(repo);
      }
      good(OSTREE, ['commit', `--repo=${repo}`, '-b', 'main', 'large']);
      fsck(repo);
    });
  }

  test('checkout', async () => {
    const commit = good(OSTREE, ['rev-parse', '--repo=cut-bare-user', 'main']);
    const out = path.join(work, 'cut-out');
    const args = ['checkout', '--repo=cut-bare-user', '-U', '-C', commit, 'cut-out'];
    await interrupt(new Running(OSTREE, args), () => existsSync(out) && readdirSync(out).length > 1);
    assert.ok(!existsSync(out), 'half a tree is left');
    good(OSTREE, args);
    assert.equal(run('diff', ['-r', 'large', 'cut-out']).status, 0);
  });

  test('pull over HTTP, and the next one goes on', async () => {
    const server = await slowServer(path.join(work, 'cut-archive'), 2);
    try {
      good(OSTREE, ['summary', '--repo=cut-archive', '-u']);
      good(OSTREE, ['init', '--repo=cut-pull', '--mode=bare-user']);
      good(OSTREE, ['remote', 'add', '--repo=cut-pull', '--no-gpg-verify', 'origin', server.url]);
      const pull = new Running(OSTREE, ['pull', '--repo=cut-pull', 'origin', 'main']);
      await interrupt(pull, () => server.requests() > 300);
      assert.equal(good(OSTREE, ['refs', '--repo=cut-pull']), '');
      fsck('cut-pull');
      const before = server.requests();
      server.delay(0);
      const again = new Running(OSTREE, ['pull', '--repo=cut-pull', 'origin', 'main']);
      assert.equal(await again.ended, 0, again.stderr);
      assert.equal(
        good(OSTREE, ['rev-parse', '--repo=cut-pull', 'origin:main']),
        good(OSTREE, ['rev-parse', '--repo=cut-archive', 'main']),
      );
      fsck('cut-pull');
      assert.ok(server.requests() - before < 4050 - 100, 'what the first pull brought was fetched again');
    } finally {
      server.close();
    }
  });

  test('a second interrupt ends at once', async () => {
    using lock = await FileLock.acquire(path.join(work, 'repo/.lock'), 'exclusive');
    const running = new Running(OSTREE, ['commit', '--repo=repo', '-b', 'x', 'tree']);
    await until(() => running.stderr.includes('waiting'), running);
    running.child.kill('SIGINT');
    running.child.kill('SIGINT');
    assert.equal(await running.ended, 130);
    assert.ok(lock);
  });
});

describe('two at once', () => {
  const lockFile = (): string => path.join(work, 'repo/.lock');

  test('the second waits, says for what, and goes on', async () => {
    const lock = await FileLock.acquire(lockFile(), 'exclusive');
    const running = new Running(OSTREE, ['commit', '--repo=repo', '-b', 'second', 'tree']);
    await until(() => running.stderr.includes('waiting'), running);
    assert.match(running.stderr, /waiting for another process to release .*repo\/\.lock/);
    assert.equal(running.child.exitCode, null);
    lock[Symbol.dispose]();
    assert.equal(await running.ended, 0, running.stderr);
    assert.equal(good(OSTREE, ['rev-parse', '--repo=repo', 'second']), running.stdout.trim());
  });
  test('or fails with --no-wait', async () => {
    using lock = await FileLock.acquire(lockFile(), 'exclusive');
    bad(
      OSTREE,
      ['commit', '--repo=repo', '--no-wait', '-b', 'third', 'tree'],
      /^error: .*repo\/\.lock is locked by another process/m,
    );
    bad(OSTREE, ['prune', '--repo=repo', '--no-wait'], /is locked by another process/);
    assert.ok(lock);
  });
  test('writers do not exclude one another', async () => {
    const runs = ['a', 'b'].map(
      (branch) => new Running(OSTREE, ['commit', '--repo=repo', '-b', `both/${branch}`, 'large']),
    );
    for (const running of runs) assert.equal(await running.ended, 0, running.stderr);
    fsck('repo');
  });
  test('our lock keeps stock out', { skip: noStock }, async () => {
    good(OSTREE, ['config', '--repo=repo', 'set', 'core.lock-timeout-secs', '1']);
    using lock = await FileLock.acquire(lockFile(), 'exclusive');
    bad(STOCK, ['commit', '--repo=repo', '-b', 'x', 'tree'], /Locking repo shared failed/);
    bad(STOCK, ['prune', '--repo=repo'], /Locking repo exclusive failed/);
    assert.ok(lock);
  });
  test("stock's lock keeps us out", { skip: noStock }, async () => {
    // Stock holds the shared lock while it waits for a tar file that does not come.
    assert.equal(run('mkfifo', ['fifo.tar']).status, 0);
    const running = new Running(STOCK, ['commit', '--repo=repo', '-b', 'tar', '--tree=tar=fifo.tar']);
    try {
      await until(() => isHeld(lockFile()), running);
      bad(OSTREE, ['prune', '--repo=repo', '--no-wait'], /is locked by another process/);
      good(OSTREE, ['commit', '--repo=repo', '--no-wait', '-b', 'beside', 'tree']);
    } finally {
      running.child.kill('SIGKILL');
      await running.ended;
    }
    good(OSTREE, ['prune', '--repo=repo', '--no-wait']);
  });
});

function isHeld(file: string): boolean {
  const lock = FileLock.tryAcquire(file, 'exclusive');
  lock?.[Symbol.dispose]();
  return lock === null;
}

interface SlowServer {
  url: string;
  requests(): number;
  delay(milliseconds: number): void;
  close(): void;
}

/** Serves a folder, each answer `delay` milliseconds late. */
async function slowServer(folder: string, delay: number): Promise<SlowServer> {
  let requests = 0;
  let wait = delay;
  const server: Server = createServer((request, response) => {
    requests++;
    const file = path.join(folder, decodeURIComponent(request.url ?? '/'));
    setTimeout(() => {
      if (!existsSync(file)) response.writeHead(404).end();
      else response.writeHead(200).end(readFileSync(file));
    }, wait);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests: () => requests,
    delay: (milliseconds) => {
      wait = milliseconds;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
