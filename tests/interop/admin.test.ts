import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { commitTree, Repo, stringVariant } from '@atomic/ostree';

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const skip = process.getuid?.() !== 0 ? 'needs root' : has('ostree') ? false : 'needs stock ostree';
const bin = path.join(import.meta.dirname, '../../bin/ostree');
const scratch = mkdtempSync(join(tmpdir(), 'atomic-admin-interop-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const REF = 'os/main';
const source = join(scratch, 'repo');

before(async () => {
  if (skip) return;
  const repo = Repo.create(source, { mode: 'archive' });
  for (const version of ['1', '2', '3']) {
    const tree = join(scratch, `tree-${version}`);
    const put = (file: string, text: string) => {
      mkdirSync(join(tree, file, '..'), { recursive: true });
      writeFileSync(join(tree, file), text);
    };
    put('usr/lib/os-release', 'ID=test\nPRETTY_NAME="Test OS"\n');
    put('usr/lib/modules/6.1/vmlinuz', `kernel ${version}`);
    put('usr/lib/modules/6.1/initramfs.img', 'initramfs');
    put('usr/lib/modules/6.1/dtb/board.dtb', 'tree');
    put('usr/etc/conf', `default ${version}`);
    put('usr/etc/other', 'default');
    await commitTree(repo, {
      trees: [{ dir: tree }],
      branch: REF,
      timestamp: 1_700_000_000 + Number(version),
      metadata: new Map([['version', stringVariant(version)]]),
    });
  }
});

/** One sysroot, driven by one of the two programs. */
class Disk {
  readonly root: string;
  readonly program: string;
  constructor(name: string, program: string) {
    this.root = join(scratch, name);
    this.program = program;
    mkdirSync(this.root);
  }
  run(...args: string[]): { status: number | null; out: string; err: string } {
    const env = {
      ...process.env,
      OSTREE_SYSROOT: this.root,
      // Stock here names entries as libostree did before 2024.5.
      OSTREE_SYSROOT_OPTS: 'bootloader-naming-1',
      OSTREE_SYSROOT_DEBUG: 'mutable-deployments',
      LC_ALL: 'C.UTF-8',
    };
    const result = spawnSync(this.program, args, { encoding: 'utf8', env });
    // What depends on SELinux being compiled in or is said no more by newer versions, and our hints.
    const out = result.stdout.replace(/^(Relabeling|Freed objects:) .*\n/gm, '').replaceAll(this.root, 'ROOT');
    return {
      status: result.status,
      out,
      err: result.stderr.replace(/^ {2}hint: .*\n/gm, '').replaceAll(this.root, 'ROOT'),
    };
  }
  /** Everything boot loaders and tools read: /boot, the links, origins and refs. */
  contents(): string[] {
    const found: string[] = [];
    const walk = (folder: string) => {
      for (const name of readdirSync(join(this.root, folder)).sort()) {
        const file = `${folder}/${name}`;
        const stat = lstatSync(join(this.root, file));
        if (stat.isSymbolicLink()) found.push(`${file} -> ${readlinkSync(join(this.root, file))}`);
        else if (stat.isDirectory()) {
          found.push(`${file}/`);
          if (!/^ostree\/deploy\/[^/]+\/deploy\/[^/]+$/.test(file)) walk(file);
        } else {
          const text = readFileSync(join(this.root, file), 'utf8');
          // Where key files have empty lines is of no account.
          found.push(`${file} ${JSON.stringify(file.endsWith('.origin') ? text.replace(/\n+/g, '\n') : text)}`);
        }
      }
    };
    walk('boot');
    for (const name of readdirSync(join(this.root, 'ostree'))) if (name.startsWith('boot.')) found.push(name);
    for (const folder of [
      'ostree/boot.0',
      'ostree/boot.1',
      'ostree/repo/refs/heads/ostree',
      'ostree/deploy/os/deploy',
    ]) {
      if (lstatSync(join(this.root, folder), { throwIfNoEntry: false }) !== undefined) walk(folder);
    }
    // Folders of refs that are gone stay behind with stock.
    return found.filter((line) => !/refs\/heads\/ostree\/[01](\/[01])?\/$/.test(line)).sort();
  }
}

describe('ostree admin beside stock’s', { skip }, () => {
  test('the same commands leave the same files, print the same and end with the same status', () => {
    const disks = [new Disk('stock', 'ostree'), new Disk('ours', bin)];
    let step = 0;
    const both = (args: string[], options: { words?: boolean } = {}) => {
      step++;
      const [stock, ours] = disks.map((disk) => disk.run(...args));
      const what = `step ${step}: ${args.join(' ')}`;
      assert.ok(stock !== undefined && ours !== undefined);
      assert.equal(ours.status, stock.status, `${what}\n${stock.err}\n${ours.err}`);
      if (options.words === false) return;
      assert.equal(ours.out, stock.out, what);
      // Where both refuse, the last line says why; the usage before it lists other options.
      const last = (text: string) => text.trim().split('\n').at(-1);
      assert.equal(last(ours.err), last(stock.err), what);
    };
    const admin = (...args: string[]) => both(['admin', ...args]);
    const same = () => {
      const [stock, ours] = disks.map((disk) => disk.contents());
      assert.equal(ours?.join('\n'), stock?.join('\n'), `after step ${step}`);
    };
    const commits = [`${REF}^^`, `${REF}^`, REF].map((rev) => Repo.open(source).resolveRev(rev));

    for (const disk of disks) assert.equal(disk.run('admin', 'init-fs', disk.root).status, 0);
    both(['admin', 'os-init', 'os'], { words: false });
    admin('os-init', 'os');
    for (const disk of disks) {
      const result = spawnSync('ostree', [
        'pull-local',
        `--repo=${disk.root}/ostree/repo`,
        '--remote=origin',
        source,
        ...commits,
        REF,
      ]);
      assert.equal(result.status, 0, String(result.stderr));
      writeFileSync(join(disk.root, 'ostree/repo/refs/remotes/origin/os/main'), `${commits[0]}\n`);
      appendFileSync(
        join(disk.root, 'ostree/repo/config'),
        `\n[remote "origin"]\nurl=file://${source}\ngpg-verify=false\n`,
      );
    }
    const deploy = (...args: string[]) => admin('deploy', '--os=os', ...args, `origin:${REF}`);

    admin('status');
    admin('--print-current-dir');
    deploy('--karg=root=LABEL=r', '--karg=quiet');
    same();
    admin('status');
    admin('--print-current-dir');
    deploy('--karg-append=console=tty0', '--karg-append=console=ttyS0');
    same();
    deploy('--karg=quiet', '--karg-delete=console=tty0', '--retain');
    same();
    deploy('--karg-delete=console');
    same();
    deploy('--not-as-default');
    same();
    deploy('--no-merge', '--karg=alone');
    same();
    for (const bad of [
      ['--karg-none', '--karg-proc-cmdline'],
      ['--karg-none', '--karg-delete=quiet'],
      ['--no-merge', '--karg-delete=quiet'],
      ['--stage'],
    ]) {
      deploy(...bad);
    }
    admin('deploy', '--os=os', 'origin:none');
    admin('deploy', '--os=os');
    admin('deploy', REF);
    admin('pin', '0');
    admin('pin', '0');
    admin('status');
    admin('pin', '-u', '0');
    for (const index of ['x', '7']) {
      admin('pin', index);
      admin('undeploy', index === 'x' ? '9' : index);
    }
    same();
    admin('instutil', 'set-kargs', 'a=1', 'b');
    same();
    admin('instutil', 'set-kargs', '--merge', '--replace=a=2', '--append=c=3', 'd');
    same();
    admin('kargs', 'edit-in-place', '--append-if-missing=a=9', '--append-if-missing=late');
    same();

    // Local changes, shown and merged.
    for (const disk of disks) {
      const tree = join(
        disk.root,
        disk
          .run('admin', '--print-current-dir')
          .out.trim()
          .replace(/^ROOT\//, ''),
      );
      writeFileSync(join(tree, 'etc/conf'), 'mine');
      rmSync(join(tree, 'etc/other'));
      writeFileSync(join(tree, 'etc/new'), 'mine');
    }
    admin('config-diff', '--os=os');
    admin('config-diff', '--os=none');
    admin('config-diff');
    admin('upgrade', '--os=os', '--override-commit', commits[1] ?? '');
    same();
    admin('upgrade', '--os=os');
    same();
    admin('upgrade', '--os=os');
    admin('upgrade');
    admin('upgrade', '--os=none');
    admin('upgrade', '--os=os', `--override-commit=${commits[0]}`);
    admin('upgrade', '--pull-only', '--deploy-only');
    admin('switch', '--os=os', REF);
    admin('switch', '--os=os');
    admin('status');
    same();
    admin('set-origin', '--index=0', '--set=gpg-verify=false', 'mirror', 'http://localhost:1');
    admin('status');
    admin('set-origin', 'mirror');
    admin('unlock');
    admin('unlock', 'x');
    admin('cleanup');
    same();
    admin('undeploy', '0');
    same();
    admin('undeploy', '0');
    admin('frob');
    admin('instutil', 'frob');
    admin('kargs');
    admin();
    same();
  });

  test('a disk made by ours is taken over by stock and given back', () => {
    const ours = new Disk('given', bin);
    const stock = {
      run: (...args: string[]) => Object.assign(Object.create(ours), { program: 'ostree' }).run(...args),
    };
    const ok = (result: { status: number | null; err: string }) => assert.equal(result.status, 0, result.err);
    ok(ours.run('admin', 'init-fs', '--modern', ours.root));
    ok(ours.run('admin', 'stateroot-init', 'os'));
    ok(ours.run('pull-local', `--repo=${ours.root}/ostree/repo`, '--remote=origin', source, REF));
    ok(ours.run('admin', 'deploy', '--os=os', '--karg=root=LABEL=r', `origin:${REF}`));
    ok(stock.run('admin', 'deploy', '--os=os', '--karg-append=by=stock', `origin:${REF}`));
    ok(ours.run('admin', 'deploy', '--os=os', '--retain', '--karg-append=by=us', `origin:${REF}`));
    ok(stock.run('admin', 'undeploy', '1'));
    const shown = ours.run('admin', 'status');
    assert.equal(shown.out, stock.run('admin', 'status').out);
    const facts: unknown = JSON.parse(ours.run('admin', 'status', '--json').out);
    assert.ok(typeof facts === 'object' && facts !== null && 'deployments' in facts);
    assert.equal(Array.isArray(facts.deployments) && facts.deployments.length, 2);
    assert.match(ours.contents().join('\n'), /options root=LABEL=r ostree=\S+ by=stock by=us/);
    ok(ours.run('fsck', `--repo=${ours.root}/ostree/repo`, '-q'));
  });
});
