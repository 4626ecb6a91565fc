// A tree for 64-bit ARM, composed and booted on whatever this machine is: by emulated programs and an emulated machine.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { buildImage, composeTree, loadTreefile, treeKargs } from '@atomic/compose';
import { Repo, readFileAt } from '@atomic/ostree';
import { EMULATED_KARGS, Machine } from '@atomic/vm';
import { LOGIN } from '../../demo/demo.ts';
import { ROOT } from '../../demo/host.ts';
import { BOOT_SECONDS, skip } from './lab.ts';
import { cachedir, stateFolder } from './setup.ts';

/** What it takes beyond what other machines do, and the packages that have it. */
const NEEDED = {
  '/usr/bin/qemu-system-aarch64': 'qemu-system-arm',
  '/usr/bin/qemu-aarch64-static': 'qemu-user-static binfmt-support',
  '/usr/bin/arch-test': 'arch-test',
  '/usr/share/AAVMF/AAVMF_CODE.fd': 'qemu-efi-aarch64',
  '/usr/lib/grub/arm64-efi/normal.mod': 'grub-efi-arm64-bin:arm64',
};
const absent = Object.entries(NEEDED).flatMap(([path, name]) => (existsSync(path) ? [] : [name]));
const whyNot =
  skip ||
  (process.env['ARM64_MACHINE'] === undefined && 'takes a quarter of an hour: make arm64-test') ||
  (absent.length > 0 && `missing packages: ${absent.join(' ')}`);

describe('a tree for arm64', { skip: whyNot, concurrency: 1, timeout: 90 * 60_000 }, () => {
  test('composed here, it boots from its disk by UEFI, and says what it is', async (t) => {
    execFileSync(process.execPath, [join(ROOT, 'tools/foreign-runtime.ts'), 'arm64'], { stdio: 'inherit' });
    const folder = stateFolder('arm64');
    mkdirSync(folder, { recursive: true });
    const path = join(folder, 'repo');
    const repo = existsSync(path) ? Repo.open(path) : Repo.create(path, { mode: 'archive' });
    const treefile = loadTreefile(join(import.meta.dirname, 'trees/arm64.yaml'));
    assert.equal(treefile.machine, 'arm64');
    // Of its own: an emulated installation takes minutes, and must not be pushed out by others.
    const { ref, commit, kernel, seconds } = await composeTree({
      ...{ treefile, repo, cachedir: join(cachedir, 'arm64'), parent: null },
    });
    t.diagnostic(`composed: ${JSON.stringify(seconds)}`);
    assert.match(kernel ?? '', /arm64$/);
    assert.equal(repo.loadCommit(commit).metadata.get('ostree.architecture')?.value, 'aarch64');
    // ELF's e_machine: EM_AARCH64.
    assert.equal(readFileAt(repo, commit, '/usr/lib/atomic/node').readUInt16LE(18), 183);
    const out = join(folder, 'disk.raw');
    const kargs = [...treeKargs(repo, commit), ...EMULATED_KARGS];
    await buildImage({ repo, ref, out, format: 'raw', size: 3 * 2 ** 30, os: 'debian', kargs });
    const common = { disk: out, format: 'raw', architecture: 'arm64', memoryMiB: 1024 } as const;
    await using machine = await Machine.start({ ...common, boot: 'uefi' });
    await machine.login({ ...LOGIN, timeoutSeconds: 3 * BOOT_SECONDS });
    const patient = { timeoutSeconds: 600 };
    assert.equal(await machine.check('uname -m', patient), 'aarch64');
    const status = await machine.check('atomic host status', patient);
    t.diagnostic(status);
    assert.match(status, new RegExp(`${ref}.*${commit}`, 's'));
    assert.equal(await machine.check('systemctl is-system-running --wait', patient), 'running');
    await machine.powerOff({ timeoutSeconds: 600 });
    rmSync(out);
  });
});
