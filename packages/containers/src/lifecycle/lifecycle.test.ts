import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { OutcomeError } from '../outcome.ts';
import type { Lifecycle } from './lifecycle.ts';
import { FakeHost } from './test-machine.ts';

const outcome = (wanted: string, message: RegExp) => (error: unknown) =>
  error instanceof OutcomeError && error.outcome === wanted && message.test(error.message);
const code = (wanted: string, message: RegExp) => (error: unknown) =>
  error instanceof AtomicError && error.code === wanted && message.test(error.message);

const conf = (host: FakeHost): string => readFileSync(join(host.root, 'etc/demo/demo.conf'), 'utf8');
const names = (host: FakeHost): string[] =>
  existsSync(host.folder) ? readdirSync(host.folder).filter((name) => !name.startsWith('.')) : [];

test('installed, updated, rolled back, removed: nothing is left', async () => {
  const host = new FakeHost();
  const installed = await host.deploy('1');
  assert.equal(installed.outcome, 'done');
  assert.deepEqual([...host.enabled], ['demo.service']);
  assert.deepEqual([...host.active], [], 'installing does not start');
  await host.lifecycle.run('demo', 'start');
  assert.equal((await host.deploy('1')).outcome, 'unchanged');

  await host.deploy('2');
  assert.equal(conf(host), 'version = 2\n');
  assert.equal(readlinkSync(join(host.folder, 'demo')), 'demo.1');
  assert.ok(host.active.has('demo.service'));
  await host.lifecycle.rollback('demo');
  assert.equal(conf(host), 'version = 1\n');
  await host.lifecycle.rollback('demo');
  assert.equal(conf(host), 'version = 2\n', 'twice is where it was, as on the host');
  for (const version of ['3', '4', '5']) await host.deploy(version);
  assert.deepEqual(names(host), ['demo', 'demo.2', 'demo.3', 'demo.4']);
  await host.lifecycle.rollback('demo', { to: 2 });
  assert.equal(conf(host), 'version = 3\n');

  await host.lifecycle.remove('demo');
  assert.deepEqual(names(host), []);
  assert.deepEqual(readdirSync(join(host.root, 'etc')), ['systemd'], 'the folder made for it went with it');
  assert.deepEqual(readdirSync(join(host.root, 'etc/systemd/system')), []);
  assert.deepEqual([host.active.size, host.enabled.size], [0, 0]);
  assert.deepEqual(
    host.lifecycle.history('demo').map(({ verb }) => verb),
    ['uninstall', 'rollback', 'update', 'update', 'update', 'rollback', 'rollback', 'update', 'install'],
  );
});

test('data stays and is named, what nothing was written to goes, and --purge leaves nothing', async () => {
  const host = new FakeHost();
  const lines = (...paths: string[]): string => paths.map((path) => `${path} 0755 - - -\n`).join('');
  mkdirSync(join(host.root, 'var/lib/theirs'), { recursive: true });
  // As systemd-tmpfiles does it.
  host.tmpfiles = async (what, files) => {
    for (const file of what === 'create' ? files : []) {
      for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(/^d (\S+)/gm)) {
        mkdirSync(join(host.root, path), { recursive: true });
      }
    }
  };
  const one = lines(
    'd /var/lib/theirs',
    'd /var/lib/demo/one/',
    'd /var/lib/demo/empty',
    'R /var/lib/demo',
    'd /run/%H',
  );
  for (const purge of [false, true]) {
    await host.deploy('1', { tmpfiles: one });
    await host.deploy('2', { tmpfiles: lines('d /var/lib/demo/two') });
    await host.lifecycle.rollback('demo');
    for (const folder of ['theirs', 'demo/one', 'demo/two'])
      writeFileSync(join(host.root, 'var/lib', folder, 'x'), 'x');
    const planned = await host.lifecycle.remove('demo', { purge, dryRun: true });
    const gone = await host.lifecycle.remove('demo', { purge });
    const names = /^\/var\/lib\/demo\/one, \/var\/lib\/demo\/two: its data/;
    assert.deepEqual([planned.notes.length, gone.notes.length], [1, purge ? 0 : 1]);
    assert.match(gone.notes[0] ?? planned.notes[0] ?? '', purge ? /its data, goes too/ : names);
    const left = purge
      ? ['theirs', 'theirs/x']
      : ['demo', 'demo/one', 'demo/one/x', 'demo/two', 'demo/two/x', 'theirs', 'theirs/x'];
    assert.deepEqual(readdirSync(join(host.root, 'var/lib'), { recursive: true }).sort(), left);
    // Who installs it again has it again: it is still its data, which the second round finds.
  }
});

test('a version that is not well is taken back, dependants run again, and the reason is kept', async () => {
  const host = new FakeHost();
  await host.deploy('1', { start: 'yes' });
  host.needs.set('demo.service', ['web.service']);
  host.active.add('web.service');
  // The first probe is of version 2.
  const well = host.tcp.bind(host);
  host.tcp = async () => (conf(host) === 'version = 2\n' ? 'connection refused' : await well());
  const before = host.time;
  await assert.rejects(
    host.deploy('2'),
    outcome('unhealthy', /demo is not well: localhost:80: connection refused.*demo\.0/),
  );
  assert.ok(host.time - before <= 65, 'the deadline was kept');
  assert.equal(conf(host), 'version = 1\n');
  assert.deepEqual([...host.active].sort(), ['demo.service', 'web.service']);
  assert.deepEqual(names(host), ['demo', 'demo.0']);
  assert.match(host.lifecycle.gaveUp('demo', '2')?.reason ?? '', /connection refused/);
  host.tcp = well;
  await host.deploy('2');
  assert.equal(host.lifecycle.gaveUp('demo', '2'), null, 'it was well since');
  assert.ok(host.active.has('web.service'), 'dependants run after an update too');
});

test('a unit that does not start, one that is restarted again and again, and a way back that fails', async () => {
  const host = new FakeHost();
  host.broken.add('demo.service');
  await assert.rejects(host.deploy('1', { start: 'yes' }), outcome('unhealthy', /exit-code.*taken away again/));
  assert.deepEqual(names(host), []);
  host.broken.clear();
  host.restarts.set('demo.service', 0);
  await assert.rejects(host.deploy('1', { start: 'yes' }), outcome('unhealthy', /did not stay up/));
  host.restarts.clear();

  await host.deploy('1', { start: 'yes' });
  host.broken.add('demo.service');
  await assert.rejects(host.deploy('2'), outcome('stuck', /going back failed too|and going back failed/));
  await assert.rejects(host.deploy('3'), outcome('stuck', /exit-code/), 'in the way of its own name');
  host.broken.clear();
  const [recovered] = await host.lifecycle.recover();
  assert.deepEqual([recovered?.active, recovered?.outcome], [0, 'unhealthy']);
  assert.ok(host.active.has('demo.service'));
});

test('files of the host are merged: what was changed here stays, and the rest follows', async () => {
  const host = new FakeHost();
  const etc = (name: string): string => join(host.root, 'etc', name);
  writeFileSync(etc('motd'), 'ours\n');
  const first = await host.deploy('1', { files: { '/etc/motd': 'theirs\n', '/etc/demo/a': '1', '/etc/demo/b': '1' } });
  assert.deepEqual(first.notes, ['/etc/motd: was there before and stays as it is']);
  writeFileSync(etc('demo/a'), 'edited');
  rmSync(etc('demo/b'));
  writeFileSync(etc('systemd/system/demo.service'), '# mine\n');
  const second = await host.deploy('2', { files: { '/etc/motd': 'new\n', '/etc/demo/a': '2', '/etc/demo/b': '2' } });
  assert.deepEqual(
    second.notes.map((note) => note.replace(/ \(.*| the new.*/, '')),
    [
      '/etc/systemd/system/demo.service: local changes are put aside',
      '/etc/demo/a: was changed here and stays;',
      '/etc/demo/b: was removed here and stays away;',
    ],
  );
  assert.equal(readFileSync(etc('demo/a'), 'utf8'), 'edited');
  assert.ok(!existsSync(etc('demo/b')));
  assert.equal(conf(host), 'version = 2\n');
  const third = await host.deploy('3');
  assert.deepEqual(third.notes, ['/etc/demo/a: was changed here and stays'], 'it no longer has one of that name');
  const gone = await host.lifecycle.remove('demo');
  assert.deepEqual(gone.notes, []);
  assert.equal(readFileSync(etc('motd'), 'utf8'), 'ours\n');
  assert.equal(readFileSync(etc('demo/a'), 'utf8'), 'edited', 'a folder with a file of the administrator stays');
});

test('another unit of that name is not overwritten; names and broken records are told of', async () => {
  const host = new FakeHost();
  writeFileSync(join(host.root, 'etc/systemd/system/demo.service'), '# mine\n');
  await assert.rejects(host.deploy('1'), code('exists', /demo\.service is there already/));
  assert.deepEqual(names(host), []);
  rmSync(join(host.root, 'etc/systemd/system/demo.service'));
  for (const name of ['demo.0', '../x', '', '-x', 'a/b', '.x']) {
    await assert.rejects(
      host.lifecycle.deploy(name, { kind: '', identity: '', title: '', stage: async () => assert.fail() }),
      code('usage', /./),
    );
  }
  await host.deploy('1');
  await host.deploy('2');
  rmSync(join(host.folder, 'demo.1/info'));
  mkdirSync(join(host.folder, 'stranger.7'));
  const [demo, stranger] = host.lifecycle.list();
  assert.equal(demo?.record, null);
  assert.match(demo?.deployments[0]?.why ?? '', /info is missing/);
  assert.equal(stranger?.active, null);
  await assert.rejects(host.deploy('3'), code('corrupt', /damaged/));
  await host.lifecycle.rollback('demo');
  assert.equal(readlinkSync(join(host.folder, 'demo')), 'demo.0', 'from a damaged one there is a way back');
  assert.match(readFileSync(join(host.root, 'etc/systemd/system/demo.service'), 'utf8'), /demo 1$/m);
  await host.lifecycle.remove('demo');
  assert.deepEqual(names(host), ['stranger.7']);
  await host.deploy('1');
  rmSync(join(host.folder, 'demo.0/info'));
  assert.match((await host.lifecycle.remove('demo')).notes[0] ?? '', /its record could not be read/);
  assert.deepEqual(names(host), ['stranger.7']);
});

test('of two that install one name at once the second finds it there', async () => {
  const host = new FakeHost();
  const both = await Promise.all(['1', '2'].map((version) => host.deploy(version, { fresh: true })));
  assert.deepEqual(
    both.map(({ outcome, record }) => [outcome, record?.identity]),
    [
      ['done', '1'],
      ['unchanged', '1'],
    ],
  );
  assert.equal(conf(host), 'version = 1\n');
});

test('a dry run changes nothing', async () => {
  const host = new FakeHost();
  const plan = await host.deploy('1', { dryRun: true, start: 'yes' });
  assert.deepEqual(
    plan.steps.map((step) => step.do),
    ['place', 'make-folder', 'file', 'file', 'point', 'reload', 'enable', 'start'],
  );
  assert.deepEqual(names(host), []);
  assert.ok(!existsSync(join(host.root, 'etc/demo')));

  for (const version of ['1', '2']) await host.deploy(version);
  writeFileSync(join(host.root, 'etc/systemd/system/demo.service'), '# mine\n');
  const before = readdirSync(host.folder, { recursive: true });
  const back = await host.lifecycle.rollback('demo', { dryRun: true });
  assert.match(back.notes[0] ?? '', /put aside/);
  await host.deploy('3', { dryRun: true });
  await host.lifecycle.remove('demo', { dryRun: true });
  assert.deepEqual(readdirSync(host.folder, { recursive: true }), before);
});

test('cut off before any step, a change of an edited unit leaves it as it was, and the host without leftovers', async () => {
  const changes: Record<string, (lifecycle: Lifecycle) => Promise<unknown>> = {
    rollback: (lifecycle) => lifecycle.rollback('demo'),
    uninstall: (lifecycle) => lifecycle.remove('demo'),
  };
  for (const [verb, change] of Object.entries(changes)) {
    for (let at = 0, done = false; !done; at++) {
      const host = new FakeHost();
      for (const version of ['1', '2']) await host.deploy(version);
      const unit = join(host.root, 'etc/systemd/system/demo.service');
      writeFileSync(unit, '# mine\n');
      let count = 0;
      const cut = (): void => {
        if (count++ >= at) throw new Error('cut');
      };
      done = await change(host.open(cut)).then(
        () => true,
        () => false,
      );
      await host.lifecycle.recover();
      if (!done) assert.equal(readFileSync(unit, 'utf8'), '# mine\n', `${verb}, cut off before step ${at}`);
      assert.ok(at < 30, 'it comes to its end');
    }
  }
});

test('a file that was being written when the power went is no leftover after the way back', async () => {
  const host = new FakeHost();
  const etc = join(host.root, 'etc/demo');
  // As a cut does it: what was copied is there, and nothing happens any more.
  const lifecycle = host.open((_name, { do: what }) => {
    if (what === 'file') {
      writeFileSync(join(etc, '.demo.conf.atomic-new'), 'half');
      writeFileSync(join(host.root, 'etc/systemd/system/.demo.service.atomic-new'), 'half');
    }
    if (existsSync(etc) && readdirSync(etc).length > 0) throw new Error('cut');
  });
  host.lifecycle = lifecycle;
  await assert.rejects(host.deploy('1'), outcome('stuck', /cut/));
  host.lifecycle = host.open();
  await host.lifecycle.recover();
  assert.deepEqual(readdirSync(join(host.root, 'etc'), { recursive: true }).sort(), ['systemd', 'systemd/system']);
});

test('what is decided stays: what cannot be cleared up then is told, and done by the next command', async () => {
  const host = new FakeHost();
  await host.deploy('1', { start: 'yes' });
  const history = join(host.folder, '.history/demo.json');
  rmSync(history);
  mkdirSync(join(history, 'in-the-way'), { recursive: true });
  await assert.rejects(
    host.deploy('2'),
    code('failed', /^demo: the update is done, but not all is cleared up: .*demo\.json/),
  );
  assert.equal(conf(host), 'version = 2\n');
  assert.ok(host.active.has('demo.service'));
  await assert.rejects(host.deploy('3'), /demo\.json/);
  rmSync(history, { recursive: true });
  const [recovered] = await host.lifecycle.recover();
  assert.deepEqual([recovered?.active, recovered?.outcome], [1, 'done']);

  rmSync(history);
  mkdirSync(join(history, 'in-the-way'), { recursive: true });
  await assert.rejects(
    host.lifecycle.remove('demo'),
    code('failed', /the uninstall is done, but not all is cleared up/),
  );
  assert.deepEqual([...host.active], []);
  rmSync(history, { recursive: true });
  await host.lifecycle.recover();
  assert.deepEqual(names(host), []);
});

test('trees whose folders keep their own owner out go; one that cannot be removed is in nobody’s way', async () => {
  const host = new FakeHost();
  const root = process.geteuid?.() === 0;
  const stage = join(host.folder, '.stage');
  const closed = (tree: string): void => {
    mkdirSync(join(tree, 'rootfs/closed'), { recursive: true });
    writeFileSync(join(tree, 'rootfs/closed/file'), '');
    chmodSync(join(tree, 'rootfs/closed'), 0o555);
  };
  if (root) {
    // Of somebody else: nobody but root can remove it.
    mkdirSync(join(stage, 'theirs/folder'), { recursive: true });
    for (const path of [dirname(host.root), host.root, join(host.root, 'etc'), join(host.root, 'etc/systemd/system')])
      chmodSync(path, 0o777);
    for (const path of [host.folder, stage]) chmodSync(path, 0o777);
    // Root is kept out of nothing.
    process.seteuid?.(65534);
  }
  try {
    for (const version of ['1', '2', '3']) {
      await host.deploy(version);
      closed(join(host.folder, readlinkSync(join(host.folder, 'demo'))));
    }
    await host.deploy('4');
    assert.deepEqual(names(host), ['demo', 'demo.1', 'demo.2', 'demo.3']);
    const stopped = host.deploy('5', {
      stage: async ({ folder }) => {
        closed(folder);
        throw new Error('the real reason');
      },
    });
    await assert.rejects(stopped, /the real reason/);
    // As a power cut leaves it.
    closed(join(stage, 'demo.4'));
    await host.deploy('5');
    assert.ok(!existsSync(join(host.folder, 'demo.4/rootfs')), 'nothing of what was cut off');
    await host.lifecycle.remove('demo');
    assert.deepEqual(names(host), []);
    assert.deepEqual(readdirSync(stage), root ? ['theirs'] : []);
  } finally {
    if (root) process.seteuid?.(0);
  }
});

test('a journal that cannot be read is in the way of its own name only', async () => {
  const host = new FakeHost();
  await host.deploy('1');
  const journal = join(host.folder, '.journal/other.json');
  writeFileSync(journal, '{"version": 2}');
  assert.equal((await host.deploy('2')).outcome, 'done');
  assert.ok(host.lifecycle.interrupted);
  const stage = async () => assert.fail();
  const other = host.lifecycle.deploy('other', { kind: '', identity: '', title: '', stage });
  await assert.rejects(other, code('corrupt', /journal cannot be read/));
  await assert.rejects(host.lifecycle.recover(), code('corrupt', /journal cannot be read/));
  assert.ok(existsSync(journal));
});
