import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readHistory } from '../history.ts';
import { createStateroot } from '../init.ts';
import { clearBad, loadBadCommits } from './bad-commits.ts';
import { checkNow, healthBegin, healthExpire, judgeBoot } from './judge.ts';
import type { CheckedMachine } from './machine.ts';
import { healthReport } from './report.ts';
import { Fake, OS, required, scratch, skip } from './test-machine.ts';

describe('the life of a version', { skip }, () => {
  test('a good one proves itself; what is up then is what the next is measured by', async () => {
    const fake = new Fake();
    await fake.add('1');
    fake.unit('ssh.service', 'active');
    fake.unit('timed.service', 'active', { UnitFileState: 'static' });
    const judged = await fake.judged();
    assert.equal(judged?.step.do, 'rest');
    assert.equal(healthReport(fake.open()).state, 'good');
    assert.equal(fake.motd(), '');

    await fake.add('2');
    fake.unit('ssh.service', 'failed', { Result: 'exit-code' });
    fake.unit('timed.service', 'inactive');
    const second = await fake.judged();
    assert.equal(second?.result.verdict, 'red');
    assert.deepEqual(
      second.result.checks.map(({ name, state, output }) => [name, state, output]),
      [['unit ssh.service', 'failed', 'failed (exit-code); it ran before the switch']],
    );
    assert.equal(second.step.do, 'reboot');
    assert.equal(fake.reboots, 1);
    assert.equal(fake.first(), '1');
    assert.match(fake.motd(), /the machine goes back: unit ssh\.service/);

    fake.unit('ssh.service', 'active');
    await fake.judged();
    const report = healthReport(fake.open());
    assert.equal(report.state, 'rolled-back');
    assert.match(report.summary, /^went back from 2 \([0-9a-f]{10}\): unit ssh\.service: failed/);
    assert.match(fake.motd(), /\*\*\* went back from 2/);
    assert.equal(fake.reboots, 1);
    assert.ok(
      readHistory(fake.open(), OS).some(({ event, reason }) => event === 'rollback' && reason?.includes('ssh')),
    );

    await clearBad(fake.open(), OS, '2');
    assert.equal(healthReport(fake.open()).state, 'good');
  });

  test('what a server calls a version is no escape sequence at login', async () => {
    const fake = new Fake();
    await fake.add('1');
    await fake.judged();
    await fake.add('2\x1b]0;owned\x07\n', required('exit 1\n'));
    await fake.judged();
    assert.match(fake.motd(), /^\n\*\*\* 2\]0;owned \([0-9a-f]{10}\) failed, /);
  });

  test('units that the new tree no longer has, or that were switched off, need not be up', async () => {
    const fake = new Fake();
    await fake.add('1');
    for (const name of ['gone.service', 'off.service', 'unmet.service']) fake.unit(name, 'active');
    await fake.judged();
    await fake.add('2');
    fake.units.delete('gone.service');
    fake.unit('off.service', 'inactive', { UnitFileState: 'disabled' });
    fake.unit('unmet.service', 'inactive', { ConditionResult: 'no', ConditionTimestampMonotonic: '5' });
    const judged = await fake.judged();
    assert.equal(judged?.result.verdict, 'green');
    assert.deepEqual(judged.result.checks.map(({ state }) => state).sort(), ['skipped', 'skipped', 'skipped']);
  });

  test('a service that falls over again and again is not well', async () => {
    const fake = new Fake();
    await fake.add('1', { 'usr/lib/atomic/health.d/a.conf': '[Health]\nRequiredUnits=loop.service\nDeadlineSec=60\n' });
    fake.unit('loop.service', 'active', { Restart: 'always' });
    fake.boot();
    let looks = 0;
    const { machine } = fake;
    const run: CheckedMachine['run'] = async (program, args, limits) => {
      if (args[0] === 'show') fake.unit('loop.service', 'active', { NRestarts: String(++looks) });
      return await machine.run(program, args, limits);
    };
    const result = await checkNow(fake.open(), { machine: { ...machine, run } });
    assert.equal(result.verdict, 'red');
    assert.match(result.checks[0]?.output ?? '', /restarted \d+ times/);
  });

  test('a required unit that nobody starts is waited for, but not until the deadline', async () => {
    const fake = new Fake();
    await fake.add('1', { 'usr/lib/atomic/health.d/a.conf': '[Health]\nRequiredUnits=idle.service\n' });
    fake.unit('idle.service', 'inactive', { SubState: 'dead' });
    fake.boot();
    const result = await checkNow(fake.open(), fake.options);
    assert.equal(result.checks[0]?.state, 'failed');
    assert.ok(fake.time >= 14 && fake.time < 60, `${fake.time} s`);
  });

  test('once a required check has failed, nobody waits for the others; wanted units are never waited for', async () => {
    const fake = new Fake();
    const settings = 'RequiredUnits=bad.service slow.service\nWantedUnits=lazy.service\n';
    await fake.add('1', { 'usr/lib/atomic/health.d/a.conf': `[Health]\n${settings}` });
    fake.unit('bad.service', 'failed', { Result: 'signal' });
    fake.unit('slow.service', 'activating', { SubState: 'start' });
    fake.unit('lazy.service', 'activating', { SubState: 'start' });
    fake.boot();
    const states = async () => (await checkNow(fake.open(), fake.options)).checks.map(({ state }) => state).sort();
    assert.deepEqual(await states(), ['failed', 'skipped', 'timed-out']);
    assert.equal(fake.time, 0);
    fake.unit('bad.service', 'active');
    fake.unit('slow.service', 'active');
    assert.deepEqual(await states(), ['ok', 'ok', 'timed-out']);
    assert.ok(fake.time < 10, `${fake.time} s`);
  });

  test('the update server has to be reached if it was before', async () => {
    const fake = new Fake();
    const one = await fake.add('1');
    const config = join(fake.path, 'ostree/repo/config');
    writeFileSync(config, `${readFileSync(config, 'utf8')}\n[remote "srv"]\nurl=http://127.0.0.1:1/\n`);
    writeFileSync(fake.open().layout.origin(one), '[origin]\nrefspec=srv:main\n');
    await fake.judged();
    fake.reachable = false;
    await fake.add('2');
    const judged = await fake.judged();
    assert.equal(judged?.step.do, 'reboot');
    assert.match(
      loadBadCommits(fake.open(), OS).values().next().value?.reason ?? '',
      /update server of srv: Connection/,
    );
    assert.ok(fake.time >= 250, 'it was given the time there is');
    // On what was good before, the same only counts as a warning.
    const back = await fake.judged();
    assert.equal(back?.step.do, 'stay');
    assert.equal(healthReport(fake.open()).state, 'degraded');
    assert.match(fake.motd(), /a required check failed: update server/);
    assert.equal(fake.reboots, 1);
  });

  test('greenboot scripts: required, wanted, switched off, and what they print', async () => {
    const fake = new Fake();
    await fake.add('1');
    await fake.judged();
    await fake.add('2', {
      ...required('echo looking; echo "disk is full"; exit 7\n'),
      'usr/lib/greenboot/check/wanted.d/20-w.sh': 'exit 1\n',
      'usr/lib/greenboot/check/required.d/30-off.sh': 'exit 1\n',
      'usr/lib/greenboot/check/required.d/README': 'exit 1\n',
      'usr/etc/greenboot/greenboot.conf': '# x\nDISABLED_HEALTHCHECKS=(\n  "30-off.sh"\n)\n',
      'usr/lib/greenboot/red.d/tell.sh': `echo red > ${scratch}/told-${fake.run.split('-').at(-1)}\n`,
    });
    const judged = await fake.judged();
    assert.deepEqual(
      judged?.result.checks.map(({ name, required, state, output }) => [name, required, state, output]),
      [
        ['script required.d/10-test.sh', true, 'failed', 'exit status 7\nlooking\ndisk is full'],
        ['script required.d/30-off.sh', true, 'skipped', 'switched off in greenboot.conf'],
        ['script wanted.d/20-w.sh', false, 'failed', 'exit status 1'],
      ],
    );
    const [bad] = loadBadCommits(fake.open(), OS).values();
    assert.equal(bad?.reason, 'script required.d/10-test.sh: exit status 7: disk is full');
    assert.equal(bad.output, 'exit status 7\nlooking\ndisk is full');
    assert.ok(existsSync(`${scratch}/told-${fake.run.split('-').at(-1)}`));
  });

  test('nothing good to go back to: it stays, says so, and does not reboot, boot after boot', async () => {
    const fake = new Fake();
    await fake.add('1', required('exit 1\n'));
    assert.equal((await fake.judged())?.step.do, 'check');
    assert.equal(healthReport(fake.open()).state, 'stranded');
    assert.match(fake.motd(), /nothing good to go back to/);
    for (let boot = 0; boot < 4; boot++) assert.equal((await fake.judged())?.step.do, 'stay');
    assert.equal(fake.reboots, 0);
    assert.ok(!existsSync(`${fake.run}/atomic/health/deadline`), 'no deadline where it would change nothing');
    // Somebody repairs it.
    const [only] = fake.open().load().deployments;
    assert.ok(only !== undefined);
    rmSync(`${fake.open().layout.deployment(only)}/usr/lib/greenboot`, { recursive: true });
    await fake.judged();
    assert.equal(healthReport(fake.open()).state, 'good');
    assert.equal(fake.motd(), '');
  });

  test('the version gone back to is bad too: one reboot each, then rest', async () => {
    const fake = new Fake();
    await fake.add('1', required('exit 1\n'));
    await fake.add('2', required('exit 1\n'));
    await fake.judged();
    assert.equal(fake.first(), '1');
    await fake.judged();
    await fake.judged();
    assert.equal(fake.reboots, 1);
    assert.equal(healthReport(fake.open()).state, 'stranded');
    assert.equal(loadBadCommits(fake.open(), OS).size, 2);
  });

  test('three boots without a verdict', async () => {
    const fake = new Fake();
    const old = await fake.add('1');
    await fake.judged();
    await fake.add('2');
    for (let boot = 0; boot < 3; boot++) assert.equal((await healthBegin(fake.boot(), fake.options))?.do, 'check');
    assert.equal((await healthBegin(fake.boot(), fake.options))?.do, 'reboot');
    assert.equal(fake.first(), '1');
    await healthBegin(fake.boot(), fake.options);
    assert.match(healthReport(fake.open()).summary, /went back from 2 .* 3 times of 3/);
    assert.equal(fake.open().load().booted?.checksum, old.checksum);
  });

  test('a boot loader that counts in the names of entries, and took the old one', async () => {
    const fake = new Fake();
    const old = await fake.add('1');
    await fake.judged();
    await fake.add('2');
    const { layout } = fake.open();
    const entries = `${layout.boot}/loader/entries`;
    const [first] = readdirSync(entries).sort().reverse();
    assert.ok(first !== undefined);
    renameSync(`${entries}/${first}`, `${entries}/${first.replace(/\.conf$/, '+1-2.conf')}`);
    assert.equal((await healthBegin(fake.boot(old), fake.options))?.do, 'rest', 'one try is left');
    renameSync(
      `${entries}/${first.replace(/\.conf$/, '+1-2.conf')}`,
      `${entries}/${first.replace(/\.conf$/, '+0-3.conf')}`,
    );
    await healthBegin(fake.boot(old), fake.options);
    assert.equal(fake.first(), '1');
    assert.match(loadBadCommits(fake.open(), OS).values().next().value?.reason ?? '', /never came up/);
  });

  test('another system beside it, which never comes up: back to the one that was good', async () => {
    const fake = new Fake();
    const old = await fake.add('1');
    await fake.judged();
    createStateroot(fake.open(), 'other');
    const other = await fake.add('9', required('exit 1\n'), false, 'other');
    assert.equal((await fake.judged())?.step.do, 'reboot');
    assert.equal(fake.first(), '1');
    assert.ok(loadBadCommits(fake.open(), 'other').has(other.checksum));
    assert.equal((await fake.judged())?.step.do, 'rest');
    assert.equal(fake.open().load().booted?.checksum, old.checksum);
  });

  test('the deadline: what hangs is the reason; after a verdict it does nothing', async () => {
    const fake = new Fake();
    await fake.add('1');
    await fake.judged();
    assert.equal((await healthExpire(fake.open(), fake.options))?.do, 'rest');
    await fake.add('2', { 'usr/lib/atomic/health.d/a.conf': '[Health]\nDeadlineSec=2min\n' });
    const sysroot = fake.boot();
    await healthBegin(sysroot, fake.options);
    assert.match(readFileSync(`${fake.run}/atomic/health/deadline`, 'utf8'), /^DEADLINE=120$/m);
    assert.equal((await healthExpire(sysroot, fake.options))?.do, 'reboot');
    const [bad] = loadBadCommits(fake.open(), OS).values();
    assert.match(bad?.reason ?? '', /no verdict within 120 s/);
    assert.match(bad?.output ?? '', /waiting for:\n12 slow\.service/);
  });

  test("the kernel's last words go with the reason, those of earlier boots do not", async () => {
    const fake = new Fake();
    const old = await fake.add('1');
    const pstore = `${fake.open().layout.deployment(old)}/var/lib/systemd/pstore`;
    mkdirSync(`${pstore}/100`, { recursive: true });
    writeFileSync(`${pstore}/100/dmesg.txt`, 'Kernel panic - not syncing: long ago\n');
    await fake.judged();
    await fake.add('2');
    for (let boot = 0; boot < 3; boot++) await healthBegin(fake.boot(), fake.options);
    mkdirSync(`${pstore}/200`, { recursive: true });
    const noise = Array.from({ length: 100 }, (_, n) => `<6>[ ${n}.0] noise\n`).join('');
    writeFileSync(`${pstore}/200/dmesg.txt`, `${noise}<0>[ 101.0] Kernel panic - not syncing: \x1b[31mno root\n`);
    // The loader's fallback: the old one boots, and finds the trial used up.
    await healthBegin(fake.boot(old), fake.options);
    const [bad] = loadBadCommits(fake.open(), OS).values();
    assert.match(bad?.lastWords ?? '', /Kernel panic - not syncing: \[31mno root$/);
    assert.doesNotMatch(bad?.lastWords ?? '', /long ago|\[ 50\.0\]/);
  });

  test('clocks that jump change nothing', async () => {
    const fake = new Fake();
    await fake.add('1');
    await fake.judged();
    await fake.add('2');
    fake.date = new Date('1970-01-01T00:00:00Z');
    await healthBegin(fake.boot(), fake.options);
    fake.date = new Date('2099-01-01T00:00:00Z');
    const judged = await judgeBoot(fake.open(), fake.options);
    assert.equal(judged?.result.verdict, 'green');
    assert.equal(healthReport(fake.open()).state, 'good');
    fake.date = new Date('1970-01-01T00:00:00Z');
    await fake.judged();
    assert.equal(fake.records().results(1)[0]?.bootId, fake.bootId, 'the latest is the latest boot');
  });
});
