import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Repo, remoteAdd } from '@atomic/ostree';
import { HEALTH_DEFAULTS, healthTries, readHealthConfig } from './config.ts';
import { runBounded, thisMachine } from './machine.ts';
import { judgeUnit, runningServices, type UnitState, unitStates } from './units.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-checks-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

describe('programs within limits', () => {
  test('10 MB of output: its beginning and its end are kept, and how much is missing', async () => {
    const ran = await runBounded('sh', ['-c', 'echo first; yes | head -c 10000000; echo last'], { seconds: 60 });
    assert.ok(ran.kind === 'exited' && ran.code === 0);
    assert.ok(ran.output.length < 5000);
    assert.match(ran.output, /^first\ny\n/);
    assert.match(ran.output, /\[\d{7} characters left out\]\n[y\n]*last$/);
  });

  test('control characters do not reach terminals', async () => {
    const ran = await runBounded('printf', ['\\033[2J\\007red\\tü\\r\\n'], { seconds: 60 });
    assert.ok(ran.kind === 'exited');
    assert.equal(ran.output, '[2Jred\tü');
  });

  test('one that hangs is killed, with what it started', async () => {
    const pid = join(scratch, 'pid');
    const script = `echo before; sleep 1000 & echo $! > ${pid}; trap "" TERM; wait; sleep 1000`;
    const ran = await runBounded('sh', ['-c', script], { seconds: 0.5 });
    assert.deepEqual(ran, { kind: 'timed-out', output: 'before' });
    const child = Number(readFileSync(pid, 'utf8'));
    // Gone, or waiting to be collected.
    const state = () => {
      try {
        return readFileSync(`/proc/${child}/stat`, 'utf8').split(') ')[1]?.[0];
      } catch {
        return undefined;
      }
    };
    for (let count = 0; count < 100 && !['Z', undefined].includes(state()); count++) {
      await new Promise((done) => setTimeout(done, 20));
    }
    assert.ok(['Z', undefined].includes(state()));
  });

  test('one that ends and leaves somebody with its output is not waited for', async () => {
    const ran = await runBounded('sh', ['-c', 'sleep 1000 & echo done'], { seconds: 60 });
    assert.deepEqual(ran, { kind: 'exited', code: 0, output: 'done' });
  });

  test('killed, not there, failing', async () => {
    assert.equal((await runBounded('sh', ['-c', 'kill -9 $$'], { seconds: 60 })).kind, 'killed');
    assert.equal((await runBounded(join(scratch, 'no-such'), [], { seconds: 60 })).kind, 'not-started');
    const ran = await runBounded('sh', ['-c', 'exit 7'], { seconds: 60 });
    assert.deepEqual(ran, { kind: 'exited', code: 7, output: '' });
  });
});

describe('servers and engines', () => {
  test('an answer is an answer, whatever it says; none is a reason', async () => {
    const repo = Repo.create(join(scratch, 'repo'), { mode: 'archive' });
    const server = createServer((_, answer) => answer.writeHead(404).end());
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const url = `http://127.0.0.1:${address.port}/`;
    remoteAdd(repo, 'srv', url, { options: { 'gpg-verify': 'false' } });
    await thisMachine.reach(repo, 'srv', 10);
    await new Promise((done) => {
      server.close(done);
      server.closeAllConnections();
    });
    await assert.rejects(thisMachine.reach(repo, 'srv', 10));
  });

  test('a socket nobody answers on', async () => {
    assert.equal(await thisMachine.ping(join(scratch, 'no.sock'), 5), false);
    const path = join(scratch, 'docker.sock');
    const server = createServer((asked, answer) => answer.writeHead(asked.url === '/_ping' ? 200 : 500).end('OK'));
    await new Promise<void>((done) => server.listen(path, done));
    assert.equal(await thisMachine.ping(path, 5), true);
    server.removeAllListeners('request');
    assert.equal(await thisMachine.ping(path, 0.3), false, 'connected, and silent');
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
});

describe('units', () => {
  const unit = (change: Partial<UnitState>): UnitState => ({
    name: 'x.service',
    load: 'loaded',
    active: 'active',
    sub: 'running',
    file: 'enabled',
    type: 'simple',
    result: 'success',
    restarts: 0,
    job: false,
    ran: false,
    unmet: false,
    ...change,
  });

  test('what each state means', () => {
    assert.equal(judgeUnit(unit({})), 'ok');
    assert.equal(judgeUnit(unit({ active: 'activating', sub: 'auto-restart' })), 'waiting');
    assert.equal(judgeUnit(unit({ active: 'failed' })), 'failed');
    assert.equal(judgeUnit(unit({ active: 'inactive' })), 'idle');
    assert.equal(judgeUnit(unit({ active: 'inactive', job: true })), 'waiting');
    assert.equal(judgeUnit(unit({ active: 'inactive', type: 'oneshot', ran: true })), 'ok');
    assert.equal(judgeUnit(unit({ active: 'inactive', type: 'oneshot', ran: true, result: 'exit-code' })), 'idle');
    assert.equal(judgeUnit(unit({ active: 'inactive', load: 'not-found' })), 'gone');
    assert.equal(judgeUnit(unit({ active: 'inactive', file: 'disabled' })), 'gone');
    assert.equal(judgeUnit(unit({ active: 'failed', file: 'disabled' })), 'failed');
    assert.equal(judgeUnit(unit({ active: 'inactive', unmet: true })), 'gone');
  });

  test('what systemctl prints is read; a systemd that does not answer is no state', async () => {
    const answer = [
      'LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nJob=0\nNRestarts=3',
      'LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nJob=\nNRestarts=',
    ].join('\n\n');
    const run = async () => ({ kind: 'exited', code: 0, output: answer }) as const;
    const states = await unitStates({ ...thisMachine, run }, ['a.service', 'b.service']);
    assert.deepEqual(
      states?.map(({ name, load, restarts, job }) => [name, load, restarts, job]),
      [
        ['a.service', 'loaded', 3, false],
        ['b.service', 'not-found', 0, false],
      ],
    );
    const hung = async () => ({ kind: 'timed-out', output: '' }) as const;
    assert.equal(await unitStates({ ...thisMachine, run: hung }, ['a.service']), null);
    assert.deepEqual(await runningServices({ ...thisMachine, run: hung }), []);
  });
});

describe('settings', () => {
  const root = join(scratch, 'root');
  const put = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };

  test('lists add up, an empty one empties, /etc stands in for /usr/lib, mistakes are told and left out', () => {
    assert.deepEqual(readHealthConfig(join(scratch, 'nothing')), { config: HEALTH_DEFAULTS, problems: [] });
    put('usr/lib/atomic/health.d/10-a.conf', '[Health]\nRequiredUnits=a.service b.socket\nTries=2\n');
    put('usr/lib/atomic/health.d/20-b.conf', '[Health]\nRequiredUnits=c.service\n');
    put('usr/lib/atomic/health.d/30-c.conf', '[Health]\nWantedUnits=w.timer\nDeadlineSec=10min\n');
    put('etc/atomic/health.d/20-b.conf', '[Health]\nRequiredUnits=mine.service\nDefaultChecks=no\n');
    mkdirSync(join(root, 'etc/atomic/health.d'), { recursive: true });
    symlinkSync('/dev/null', join(root, 'etc/atomic/health.d/30-c.conf'));
    put('etc/atomic/health.d/40-d.conf', 'no group\n');
    const bad = 'Tries=99\nDeadlineSec=soon\nScriptTimeoutSec=0\nRequiredUnits=../x\nDefaultChecks=perhaps\nNosuch=1\n';
    put('etc/atomic/health.d/50-e.conf', `[Health]\n${bad}`);
    const { config, problems } = readHealthConfig(root);
    assert.deepEqual(config, {
      ...HEALTH_DEFAULTS,
      requiredUnits: ['a.service', 'b.socket', 'mine.service'],
      tries: 2,
      defaultChecks: false,
    });
    assert.equal(problems.length, 7);
    put('etc/atomic/health.d/60-f.conf', '[Health]\nRequiredUnits=\n');
    assert.deepEqual(readHealthConfig(root).config.requiredUnits, []);
  });

  test('a tree is counted only when it has the unit that ends the counting', () => {
    assert.equal(healthTries(root), 0);
    put('usr/lib/systemd/system/atomic-health-check.service', '');
    assert.equal(healthTries(root), 2);
  });
});
