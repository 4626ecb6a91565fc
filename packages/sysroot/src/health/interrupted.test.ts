import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setDefault } from '../arrange.ts';
import { finalizeStaged } from '../staging.ts';
import { clearBad, loadBadCommits, markBad } from './bad-commits.ts';
import { checkNow, healthBegin, judgeBoot, recordHealth } from './judge.ts';
import { healthReport } from './report.ts';
import { Fake, OS, required, skip } from './test-machine.ts';

describe('the power is lost, files are broken', { skip }, () => {
  const failure = { reason: 'unit x.service: failed', output: 'told' };

  test('between the verdict and the mark; between the mark and the rollback; before the reboot', async () => {
    for (const cut of ['verdict', 'mark', 'order', 'note'] as const) {
      const fake = new Fake();
      const old = await fake.add('1');
      await fake.judged();
      const young = await fake.add('2');
      const { os, checksum, serial: number, version } = young;
      const deployment = { os, checksum, serial: number };
      await healthBegin(fake.boot(), fake.options);
      // What is on the disk at each cut, as decide.ts orders the steps.
      fake.records().setTrial({ state: 'failed', deployment, version, failure, at: '' });
      const when = '2026-01-01T00:00:00Z';
      const mark = { checksum, version, ...failure, when, by: 'health' as const, rolledBackTo: old.checksum };
      if (cut !== 'verdict') await markBad(fake.open(), OS, mark);
      if (cut === 'order' || cut === 'note') {
        await setDefault(fake.open(), 1);
      }
      if (cut === 'note') {
        const to = { os, checksum: old.checksum, serial: old.serial };
        fake.records().setTrial({ state: 'rolled-back', deployment, version, to, bootId: fake.bootId, failure });
      }
      // It comes up again in whatever is first now, once more if it is told to.
      const step = await healthBegin(fake.boot(), fake.options);
      assert.equal(step?.do, cut === 'verdict' || cut === 'mark' ? 'reboot' : 'rest', cut);
      await fake.judged();
      assert.equal(fake.open().load().booted?.checksum, old.checksum, cut);
      assert.equal(fake.first(), '1', cut);
      const [bad] = loadBadCommits(fake.open(), OS).values();
      assert.equal(bad?.reason, failure.reason, cut);
      assert.equal(healthReport(fake.open()).state, 'rolled-back', cut);
      assert.equal(fake.records().trial().kind, 'none', cut);
    }
  });

  test('broken files are put aside, and no good version is condemned by them', async () => {
    const fake = new Fake();
    await fake.add('1', required('exit 1\n'));
    await fake.add('2');
    await fake.judged();
    const { folder } = fake.records();
    for (const text of ['', '{', '[]', '{"deployments":[1]}', 'null', '{"state":"trying"}', '\0\0\0\0']) {
      for (const name of ['trial.json', 'proven.json', 'baseline.json', `boot-999999-x.json`]) {
        writeFileSync(`${folder}/${name}`, text);
      }
      writeFileSync(`${folder}/../bad-commits.json`, text);
      const judged = await fake.judged();
      assert.equal(judged?.result.verdict, 'green', text);
      assert.equal(fake.first(), '2', text);
      assert.equal(fake.reboots, 0, text);
      assert.equal(healthReport(fake.open()).bad.length, 0, text);
      const bad = { checksum: 'c'.repeat(64), reason: 'r', when: '', by: 'administrator' as const };
      await markBad(fake.open(), OS, bad);
      assert.equal(loadBadCommits(fake.open(), OS).size, 1, text);
      await clearBad(fake.open(), OS, null);
    }
    assert.ok(readdirSync(`${folder}/..`).includes('bad-commits.json.broken'));
    assert.ok(!readdirSync(folder).some((name) => name.endsWith('.tmp')));
  });

  test('what is staged is not what a machine that goes back boots next', async () => {
    const fake = new Fake();
    await fake.add('1');
    await fake.judged();
    await fake.add('2', required('exit 1\n'));
    fake.boot();
    await fake.add('3', {}, true);
    assert.equal(fake.open().load().staged?.version, '3');
    await judgeBoot(fake.open(), fake.options);
    assert.equal(fake.reboots, 1);
    assert.equal(fake.open().load().staged, null);
    assert.equal(fake.first(), '1');
  });

  test('what is deployed during a trial does not push out what there is to go back to', async () => {
    const fake = new Fake();
    const one = await fake.add('1');
    await fake.judged();
    await fake.add('2', required('exit 1\n'));
    await healthBegin(fake.boot(), fake.options);
    await fake.add('3', required('exit 1\n'), true);
    await finalizeStaged(fake.open());
    const versions = () =>
      fake
        .open()
        .load()
        .deployments.map(({ version }) => version);
    assert.deepEqual(versions(), ['3', '2', '1']);
    await fake.judged();
    assert.equal(fake.first(), '1', 'the one that was good, not the one nobody judged');
    await fake.judged();
    assert.equal(fake.open().load().booted?.checksum, one.checksum);
    await fake.add('4');
    assert.deepEqual(versions(), ['4', '1'], 'and then all is as ever');
  });

  test('no running system: nothing to judge', async () => {
    const fake = new Fake();
    await fake.add('1');
    assert.equal(await healthBegin(fake.open(), fake.options), null);
    assert.equal(await judgeBoot(fake.open(), fake.options), null);
    assert.equal(await recordHealth(fake.open(), fake.options), false);
    await assert.rejects(checkNow(fake.open(), fake.options), /is not what runs/);
    assert.equal(healthReport(fake.open()).state, 'unknown');
  });
});
