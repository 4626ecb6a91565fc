import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { isChecksum } from '@atomic/ostree';
import { readJson, writeJson } from './files.ts';
import { lastWords, pstoreRecords } from './pstore.ts';
import { parseTrial, type TrialRecord } from './records.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-records-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const id = (letter: string) => ({ os: 'os', checksum: letter.repeat(64), serial: 0 });
const failure = { reason: 'r', output: 'o', lastWords: 'w' };
const TRIALS: TrialRecord[] = [
  { state: 'trying', deployment: id('a'), version: '1', boots: [{ id: 'x', at: '' }] },
  { state: 'failed', deployment: id('a'), version: '1', failure, at: '' },
  { state: 'rolled-back', deployment: id('a'), version: '1', to: id('b'), bootId: 'x', failure },
  { state: 'stranded', deployment: id('a'), version: '1', failure, at: '' },
];

describe('records', () => {
  test('what is written is read again', () => {
    for (const trial of TRIALS) {
      writeJson(join(scratch, 'trial.json'), trial);
      assert.deepEqual(readJson(join(scratch, 'trial.json'), parseTrial), { kind: 'there', value: trial });
    }
  });

  test('whatever is in them is understood or refused, never half understood', () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % below;
    };
    const junk: unknown[] = [null, '', 0, -1, 1.5, 1e300, true, [], {}, [null], '../..', 'a'.repeat(64), { os: 1 }];
    const spoil = (value: unknown): unknown => {
      if (random(4) === 0) return junk[random(junk.length)];
      if (Array.isArray(value)) return value.map((item) => (random(2) === 0 ? spoil(item) : item));
      if (typeof value !== 'object' || value === null) return value;
      const fields = Object.entries(value).filter(() => random(12) !== 0);
      return Object.fromEntries(fields.map(([key, item]) => [key, random(3) === 0 ? spoil(item) : item]));
    };
    let understood = 0;
    for (let count = 0; count < 20_000; count++) {
      const parsed = parseTrial(spoil(TRIALS[random(TRIALS.length)]));
      if (parsed === null) continue;
      understood++;
      assert.ok(isChecksum(parsed.deployment.checksum) && Number.isSafeInteger(parsed.deployment.serial));
      assert.equal(typeof parsed.deployment.os, 'string');
      if (parsed.state === 'trying') assert.ok(parsed.boots.every((mark) => typeof mark.id === 'string'));
      else assert.equal(typeof parsed.failure.reason, 'string');
    }
    assert.ok(understood > 1000 && understood < 19_000, `${understood}`);
  });

  test('a file of many megabytes is not read', () => {
    writeFileSync(join(scratch, 'large.json'), `"${'x'.repeat(5 << 20)}"`);
    assert.equal(readJson(join(scratch, 'large.json'), parseTrial).kind, 'broken');
    mkdirSync(join(scratch, 'folder.json'));
    assert.equal(readJson(join(scratch, 'folder.json'), parseTrial).kind, 'broken');
    assert.equal(readJson(join(scratch, 'nothing.json'), parseTrial).kind, 'none');
  });
});

describe("the kernel's last words", () => {
  test('in pieces, as firmware keeps them: the last is the first; put together where systemd has not', () => {
    const root = join(scratch, 'root');
    const folder = join(root, 'sys/fs/pstore');
    mkdirSync(folder, { recursive: true });
    assert.equal(lastWords(root, []), undefined);
    writeFileSync(
      join(folder, 'dmesg-erst-1'),
      'Panic#1 Part1\n<0>[2.0] Kernel panic - not syncing: gone\n<4>[2.1] CPU: 0\n',
    );
    writeFileSync(join(folder, 'dmesg-erst-2'), 'Panic#1 Part2\n<6>[1.0] before\n');
    writeFileSync(join(folder, 'console-ramoops-0'), 'something else\n');
    assert.deepEqual(pstoreRecords(root), ['sys/fs/pstore/dmesg-erst-1', 'sys/fs/pstore/dmesg-erst-2']);
    assert.equal(lastWords(root, []), '<6>[1.0] before\n<0>[2.0] Kernel panic - not syncing: gone\n<4>[2.1] CPU: 0');
    assert.equal(lastWords(root, pstoreRecords(root)), undefined, 'of an earlier boot');
  });

  test('a log without a panic: its end', () => {
    const root = join(scratch, 'plain');
    mkdirSync(join(root, 'var/lib/systemd/pstore/1'), { recursive: true });
    const lines = Array.from({ length: 200 }, (_, n) => `line ${n}`);
    writeFileSync(join(root, 'var/lib/systemd/pstore/1/dmesg.txt'), lines.join('\n'));
    assert.equal(lastWords(root, []), lines.slice(-40).join('\n'));
  });
});
