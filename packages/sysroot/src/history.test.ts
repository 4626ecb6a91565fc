import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Deployment } from './deployment.ts';
import { type HistoryRecord, historyEntries, noteHistory, readHistory } from './history.ts';
import { initStateroot, initSysroot } from './init.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-history-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const record = (event: HistoryRecord['event'], time: number, name: string, more: Partial<HistoryRecord> = {}) => ({
  event,
  time,
  id: `os-${name}`,
  osname: 'os',
  checksum: name,
  serial: 0,
  timestamp: 1,
  ...more,
});

const deployment: Deployment = {
  os: 'os',
  checksum: 'a'.repeat(64),
  serial: 0,
  index: 0,
  bootChecksum: '',
  bootSerial: 0,
  path: '',
  origin: null,
  kargs: [],
  commandLine: [],
  entry: null,
  tries: null,
  overlayInitrds: [],
  version: '7',
  timestamp: 5,
  booted: false,
  staged: false,
  finalizationLocked: false,
  softRebootTarget: false,
  pinned: false,
  unlocked: 'none',
  pending: false,
  rollback: false,
  base: '0'.repeat(64),
};

describe('the history of a system', () => {
  test('boots in a row are one stay; how each came to be is found, a rollback too', () => {
    const entries = historyEntries([
      record('boot', 10, 'one', { created: 5 }),
      record('boot', 11, 'one', { created: 5 }),
      record('deploy', 20, 'two', { command: 'upgrade' }),
      record('boot', 30, 'two'),
      record('rollback', 40, 'one', { reason: 'it failed' }),
      record('boot', 50, 'one', { created: 5 }),
      record('boot', 60, 'two'),
    ]);
    assert.deepEqual(
      entries.map(({ deployment: { checksum }, boots, firstBoot, lastBoot, created, command, reason }) => [
        checksum,
        boots,
        firstBoot,
        lastBoot,
        created,
        command ?? reason,
      ]),
      [
        ['two', 1, 60, 60, 20, 'upgrade'],
        ['one', 1, 50, 50, 40, 'it failed'],
        ['two', 1, 30, 30, 20, 'upgrade'],
        ['one', 2, 10, 11, 5, undefined],
      ],
    );
  });

  test('a line torn by a power cut, and lines that are something else, are passed over; the next is whole', () => {
    const sysroot = initSysroot(join(scratch, 'disk'), { title: 'deploy 7' });
    initStateroot(sysroot, 'os');
    const path = join(scratch, 'disk/ostree/deploy/os/var/lib/atomic/history.jsonl');
    noteHistory(sysroot, deployment, 'deploy');
    appendFileSync(path, '\n[]\nnull\n{"event":"deploy"}\n{"event":"magic","time":1}\n{"event":"boot","ti');
    noteHistory(sysroot, { ...deployment, serial: 1 }, 'rollback', 'asked for');
    const records = readHistory(sysroot, 'os');
    assert.deepEqual(
      records.map(({ event, serial, version, command, reason }) => [event, serial, version, command, reason]),
      [
        ['deploy', 0, '7', 'deploy 7', undefined],
        ['rollback', 1, '7', 'deploy 7', 'asked for'],
      ],
    );
  });

  test('it does not grow for ever: the older half goes, in whole lines', () => {
    const sysroot = initSysroot(join(scratch, 'long'));
    initStateroot(sysroot, 'os');
    const folder = join(scratch, 'long/ostree/deploy/os/var/lib/atomic');
    mkdirSync(folder, { recursive: true });
    const line = `${JSON.stringify(record('boot', 1, 'x', { reason: 'y'.repeat(900) }))}\n`;
    writeFileSync(join(folder, 'history.jsonl'), line.repeat(1100));
    noteHistory(sysroot, deployment, 'deploy');
    const records = readHistory(sysroot, 'os');
    assert.ok(records.length > 500 && records.length < 600, String(records.length));
    assert.equal(records.at(-1)?.version, '7');
    assert.ok(readFileSync(join(folder, 'history.jsonl'), 'utf8').startsWith('{'));
  });

  test('what cannot be written fails nobody', () => {
    const sysroot = initSysroot(join(scratch, 'full'));
    initStateroot(sysroot, 'os');
    mkdirSync(join(scratch, 'full/ostree/deploy/os/var/lib'), { recursive: true });
    writeFileSync(join(scratch, 'full/ostree/deploy/os/var/lib/atomic'), 'no folder');
    noteHistory(sysroot, deployment, 'deploy');
    assert.deepEqual(readHistory(sysroot, 'os'), []);
  });
});
