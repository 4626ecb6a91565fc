// A cut at every step of the switch, seen as the machine sees it afterwards: the boot loader reads the disk without
// replaying its journal, then the kernel mounts it and the journal is replayed. What the first finds must still be
// there for the second. (Stock ostree 2022.7 has a hole here: it removes the old boot links while the new loader link
// may be in the journal only.)
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fsyncPath } from '@atomic/linux';
import { commitTree, stringVariant } from '@atomic/ostree';
import { deploy, initStateroot, initSysroot, makeOrigin, Sysroot, upgrade } from '@atomic/sysroot';

const missing = ['strace', 'debugfs', 'mkfs.ext4', 'fsfreeze'].filter(
  (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0,
);
const skip = process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `needs ${missing.join(', ')}` : false;
const scratch = mkdtempSync(join(tmpdir(), 'atomic-cut-'));
// Another file each time: what else runs here may have copied our mounts into its namespace, and there a disk that we
// have unmounted still writes to its file.
let disk = join(scratch, 'disk');
const anotherDisk = () => {
  rmSync(disk);
  disk = `${disk}+`;
};
const root = join(scratch, 'root');
const mount = (image = disk, at = root) => spawnSync('mount', ['-o', 'loop', image, at]).status === 0;
const umount = (at = root) => execFileSync('umount', [at]);
after(() => {
  for (const at of [root, join(scratch, 'after')]) {
    if (spawnSync('mountpoint', ['-q', at]).status !== 0) continue;
    spawnSync('fsfreeze', ['-u', at]);
    umount(at);
  }
  rmSync(scratch, { recursive: true, force: true });
});

const REF = 'test/main';
async function commit(sysroot: Sysroot, version: string): Promise<string> {
  const tree = join(scratch, `tree-${version}`);
  const put = (path: string, text: string) => {
    mkdirSync(join(tree, path, '..'), { recursive: true });
    writeFileSync(join(tree, path), text);
  };
  put('usr/lib/os-release', 'ID=test\n');
  put('usr/lib/modules/6.1/vmlinuz', `kernel ${version}`.padEnd(20_000, version));
  put('usr/lib/modules/6.1/initramfs.img', `initramfs ${version}`.padEnd(20_000, version));
  put('usr/share/marker', version);
  put('usr/etc/hostname', 'default');
  const result = await commitTree(sysroot.repo, {
    trees: [{ dir: tree }],
    branch: REF,
    timestamp: 1_700_000_000 + Number(version),
    metadata: new Map([['version', stringVariant(version)]]),
  });
  return result.commit;
}

test('whatever the boot loader finds after a cut leads to a whole system', { skip, timeout: 300_000 }, async (t) => {
  mkdirSync(root);
  mkdirSync(join(scratch, 'after'));
  writeFileSync(disk, '');
  execFileSync('truncate', ['-s', '48M', disk]);
  execFileSync('mkfs.ext4', ['-q', disk]);
  if (!mount()) return t.skip('needs loop mounts');
  // Version 1 runs, version 2 is staged.
  const fresh = initSysroot(root, { mutableDeployments: true });
  initStateroot(fresh, 'test');
  const first = await deploy(fresh, { os: 'test', rev: await commit(fresh, '1'), origin: makeOrigin(REF) });
  const run = join(scratch, 'run');
  mkdirSync(run);
  writeFileSync(join(run, 'ostree-booted'), '');
  const deployment = join(root, first.path);
  const host = Sysroot.open(root, {
    run,
    root: deployment,
    mutableDeployments: true,
    system: { startUnit: async () => {}, reboot: async () => {} },
  });
  await commit(host, '2');
  assert.ok((await upgrade(host)).deployment?.staged);
  umount();
  const pristine = join(scratch, 'pristine');
  const staged = join(scratch, 'staged');
  copyFileSync(disk, pristine);
  copyFileSync(host.stagedPath, staged);

  const script = join(scratch, 'finalize.ts');
  writeFileSync(
    script,
    `const { finalizeStaged, Sysroot } = await import(process.argv[2]);
    const [root, run, deployment] = process.argv.slice(3);
    await finalizeStaged(Sysroot.open(root, { run, root: deployment, mutableDeployments: true }));`,
  );
  const trace = join(scratch, 'trace');
  const calls = 'rename,renameat2,symlink,unlink,unlinkat,rmdir,mkdir,ioctl,fsync,fdatasync,syncfs';
  /** Starts anew from what was staged and finalizes it, as far as it gets. */
  const finalize = (inject: string[]) => {
    anotherDisk();
    copyFileSync(pristine, disk);
    assert.ok(mount());
    copyFileSync(staged, host.stagedPath);
    return spawnSync(
      'strace',
      [
        ...['-f', '-qq', '-o', trace, '-e', `trace=${calls}`, ...inject],
        ...[process.execPath, script, import.meta.resolve('@atomic/sysroot'), root, run, deployment],
      ],
      { encoding: 'utf8' },
    );
  };
  const whole = finalize([]);
  assert.equal(whole.status, 0, whole.stderr);
  umount();
  const text = readFileSync(trace, 'utf8');
  const main = text.split(' ')[0];
  const counts = new Map<string, number>();
  const steps = text.split('\n').flatMap((line) => {
    const match = /^(\d+) +([a-z\d]+)\(/.exec(line);
    if (match?.[2] === undefined || match[1] !== main) return [];
    const when = (counts.get(match[2]) ?? 0) + 1;
    counts.set(match[2], when);
    return line.includes(scratch) || /ioctl.*F(REEZE|THAW)|sync/.test(line) ? [{ line, call: match[2], when }] : [];
  });
  const swap = steps.findIndex(({ line }) => line.includes('boot/loader"'));
  assert.ok(swap > 10 && steps.length - swap > 8, 'the trace shows the switch and the cleanup after it');
  const points = new Set([5, Math.floor(swap / 2), swap - 3]);
  for (let at = swap - 1; at < steps.length; at += at < swap + 8 ? 1 : 4) points.add(at);

  /** Kernel and `ostree=` of the first menu entry, read as GRUB reads. */
  const bootLoader = (image: string) => {
    const cat = (path: string) =>
      execFileSync('debugfs', ['-c', '-R', `cat ${path}`, image], { stdio: ['ignore', 'pipe', 'ignore'] });
    const menu = cat('/boot/loader/grub.cfg').toString();
    const entry = /^ {2}linux (\S+) .*?(\/ostree\/boot\.\S+)$\n {2}initrd (\S+)$/m.exec(menu);
    assert.ok(entry?.[1] !== undefined && entry[2] !== undefined && entry[3] !== undefined, `no entry: ${menu}`);
    const sum = createHash('sha256').update(cat(entry[1])).update(cat(entry[3])).digest('hex');
    assert.equal(sum, entry[2].split('/')[4], 'kernel and initramfs are whole');
    return entry[2];
  };
  const seen = new Map<string, number>();
  for (const at of [...points].sort((a, b) => a - b)) {
    const step = steps[at];
    if (step === undefined) continue;
    finalize(['-e', `inject=${step.call}:signal=SIGKILL:when=${step.when}`]);
    spawnSync('fsfreeze', ['-u', root], { stdio: 'ignore' });
    // The worst moment: the journal has all that was done so far, the disk itself only what was flushed.
    fsyncPath(root);
    const cut = join(scratch, `cut-${at}`);
    copyFileSync(disk, cut);
    umount();
    const link = bootLoader(cut);
    assert.ok(mount(cut, join(scratch, 'after')));
    try {
      const tree = join(scratch, 'after', link);
      assert.ok(existsSync(join(tree, 'etc/hostname')), `cut at ${step.line}: ${link} leads nowhere`);
      const version = readFileSync(join(tree, 'usr/share/marker'), 'utf8');
      seen.set(version, (seen.get(version) ?? 0) + 1);
      // And the next run can work with it.
      const state = Sysroot.open(join(scratch, 'after')).load();
      assert.ok(state.deployments.some(({ version: there }) => there === version));
    } finally {
      umount(join(scratch, 'after'));
      rmSync(cut);
    }
  }
  t.diagnostic(`${points.size} cuts: ${[...seen].map(([version, n]) => `${n} x version ${version}`).join(', ')}`);
  assert.deepEqual([...seen.keys()].sort(), ['1', '2']);
});
