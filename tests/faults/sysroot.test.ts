import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { makeStep } from './program.ts';
import { missing, testScenario } from './sweep-test.ts';
import { sysrootScenarios } from './sysroot-scenarios.ts';

// Killed before each call that changes the disk: between two of them it looks the same. A run costs a start of Node under
// strace, a copy of the disk and two looks by stock: two thirds of a second. So a third of the points is taken, fewer of
// scenarios that mostly do what others do, and other ones every day; FAULTS=all takes them all, and FAULTS=host adds an
// error at each call about the disk, which takes an hour.
const scratch = mkdtempSync('/var/tmp/atomic-faults-');
const disk = join(scratch, 'disk');
const work = join(scratch, 'work');
after(() => {
  if (spawnSync('mountpoint', ['-q', work]).status === 0) {
    // A run may have been killed with it frozen.
    spawnSync('fsfreeze', ['-u', work], { stdio: 'ignore' });
    execFileSync('umount', [work]);
  }
  rmSync(scratch, { recursive: true, force: true });
});

/** A file system of its own: the switch freezes the one that /boot is on. */
function mountDisk(): string | false {
  if (!existsSync('/usr/sbin/mkfs.ext4')) return 'mkfs.ext4 is not installed';
  mkdirSync(work);
  execFileSync('truncate', ['-s', '256M', disk]);
  execFileSync('/usr/sbin/mkfs.ext4', ['-q', '-b', '4096', '-N', '60000', disk]);
  return spawnSync('mount', ['-o', 'loop', disk, work]).status === 0 ? false : 'loop devices cannot be mounted here';
}

const skip = missing() || mountDisk();
const step = skip === false ? await makeStep(join(scratch, 'program')) : [];
const asked = process.env['FAULTS'];
const errors = asked === 'host' ? 'one' : 'none';
for (const scenario of sysrootScenarios(step)) {
  const every = asked !== undefined ? 1 : scenario.alike === true ? 18 : 3;
  testScenario(scenario, { skip, scratch: work, logs: scratch, errors, every });
}
