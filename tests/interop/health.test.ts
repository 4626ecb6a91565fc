import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { commitTree, stringVariant } from '@atomic/ostree';
import { createStateroot, createSysroot, deploy, makeOrigin, Sysroot } from '@atomic/sysroot';
import { z } from 'zod';
import { BootedSystem, skip as noSystem } from './booted-system.ts';

/** `atomic host health` on a disk that is not running, beside stock tools. */
const STOCK = '/usr/bin/ostree';
const checkout = join(import.meta.dirname, '../..');
const skip = process.getuid?.() === 0 ? false : 'needs root (owners)';
const scratch = mkdtempSync(join(tmpdir(), 'atomic-health-cli-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const disk = join(scratch, 'disk');

function atomic(...args: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(`${checkout}/bin/atomic`, args, { encoding: 'utf8' });
  return { status, out: stdout, err: stderr };
}
const health = (...args: string[]) => atomic('host', 'health', ...args, `--sysroot=${disk}`);

const Report = z.object({ state: z.string(), bad: z.array(z.object({ checksum: z.string(), reason: z.string() })) });
const Status = z.object({ deployments: z.array(z.object({ bad: z.string().optional(), checksum: z.string() })) });

describe('atomic host health on a disk', { skip }, () => {
  let checksum = '';
  before(async () => {
    mkdirSync(disk);
    createSysroot(disk, { epoch: 1 });
    const sysroot = Sysroot.open(disk, { mutableDeployments: true, run: join(scratch, 'run') });
    createStateroot(sysroot, 'os');
    const tree = join(scratch, 'tree');
    for (const [file, text] of [
      ['usr/lib/os-release', 'ID=test\n'],
      ['usr/lib/modules/6.1/vmlinuz', 'kernel'],
      ['usr/lib/modules/6.1/initramfs.img', 'initramfs'],
      ['usr/etc/conf', 'x'],
    ] as const) {
      mkdirSync(join(tree, file, '..'), { recursive: true });
      writeFileSync(join(tree, file), text);
    }
    const metadata = new Map([['version', stringVariant('7')]]);
    checksum = (await commitTree(sysroot.repo, { trees: [{ dir: tree }], branch: 'main', metadata })).commit;
    await deploy(sysroot, { os: 'os', rev: checksum, origin: makeOrigin('main') });
  });

  test('a mark is made, shown, and taken back; status shows it too', () => {
    assert.match(health().out, /^Health: no boot was judged yet$/m);
    assert.equal(health('mark-bad', '7', '--reason', 'does not\nprint').status, 0);
    assert.match(health().out, /^ {2}7 \([0-9a-f]{10}\): does not print$/m);
    const report = Report.parse(JSON.parse(health('--json').out));
    assert.deepEqual(
      report.bad.map((bad) => [bad.checksum, bad.reason]),
      [[checksum, 'does not print']],
    );
    const status = Status.parse(JSON.parse(atomic('host', 'status', '--json', `--sysroot=${disk}`).out));
    assert.equal(status.deployments[0]?.bad, 'does not print');
    assert.match(atomic('host', 'status', `--sysroot=${disk}`).out, /Bad: does not print/);
    assert.equal(health('clear', checksum.slice(0, 8)).status, 0);
    assert.equal(Report.parse(JSON.parse(health('--json').out)).bad.length, 0);
  });

  test('what cannot be done is said: no such commit, none named, not what runs', () => {
    for (const [args, words] of [
      [['clear', '9'], /no commit or version '9' is marked bad/],
      [['clear'], /name one commit, or all of them with --all/],
      [['mark-bad', '9'], /'9' is neither a deployed version nor a commit checksum/],
      [['check'], /is not what runs/],
    ] as const) {
      const { status, err } = health(...args);
      assert.equal(status, 1, args.join(' '));
      assert.match(err, words);
    }
    // The units' commands do no harm where nothing runs.
    for (const verb of ['begin', 'expire', 'record']) assert.equal(health(verb).status, 0, verb);
  });

  test('stock shows and keeps the disk as ever', { skip: existsSync(STOCK) ? false : `no ${STOCK}` }, () => {
    health('mark-bad', checksum);
    const said = execFileSync(STOCK, ['admin', 'status', `--sysroot=${disk}`], { encoding: 'utf8' });
    assert.match(said, new RegExp(`os ${checksum}\\.0`));
    execFileSync(STOCK, ['admin', 'cleanup', `--sysroot=${disk}`]);
    assert.equal(Report.parse(JSON.parse(health('--json').out)).bad.length, 1);
  });
});

describe('atomic host health on a running system', { skip: noSystem }, () => {
  test('a version whose check fails is left, with the disk mounted read-only as many hosts have it', async () => {
    const system = await BootedSystem.make(join(scratch, 'booted'));
    const old = system.booted;
    assert.match(system.inside('atomic host health begin; atomic host health check --boot'), /Health: green/);
    assert.match(system.inside('atomic host status'), /^Health: good$/m);
    const rev = await system.commit('3', {
      'usr/lib/greenboot/check/required.d/10-disk.sh': 'echo the disk is full\nexit 4\n',
    });
    system.booted = await deploy(system.sysroot, { os: 'os', rev, origin: makeOrigin('os') });
    assert.match(system.inside('atomic host health begin; atomic host status'), /^Health: on trial, boot 1$/m);
    const judge = 'atomic host health check --boot || echo status $?; cat /run/systemctl.log /run/motd.d/*';
    const said = system.inside(judge, { readOnly: true });
    assert.match(
      said,
      /✗ script required\.d\/10-disk\.sh: failed\n {6}exit status 4\n( {6}.*\n)* {6}the disk is full$/m,
    );
    assert.match(said, /^status 1$/m);
    assert.match(said, /^reboot$/m);
    assert.match(said, /\*\*\* 3 \([0-9a-f]{10}\) failed, the machine goes back/);
    assert.equal(system.sysroot.load().deployments[0]?.version, '1');
    system.booted = old;
    const after = system.inside('atomic host health begin; atomic host status; cat /run/motd.d/*; atomic host health');
    assert.match(after, /^Health: went back from 3 .*the disk is full$/m);
    assert.match(after, /Bad: script required\.d\/10-disk\.sh: exit status 4/);
    assert.match(after, /\*\*\* went back from 3/);
    assert.doesNotMatch(system.inside('atomic host health check --boot; cat /run/systemctl.log'), /^reboot$/m);
  });
});
