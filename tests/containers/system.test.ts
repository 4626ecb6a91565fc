import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { OutcomeError, runInside, systemBackend } from '@atomic/containers';
import { AtomicError } from '@atomic/ostree';
import { freePort, lacks } from './lab.ts';
import { crunOfOneKind, type SystemLab, systemLab, webRecipe } from './system-lab.ts';

const skip = lacks('runc', 'crun', 'busybox', 'tar', 'systemd-tmpfiles') ?? false;
const IMAGE = 'registry.example/group/web:1';
const fetchText = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}/`)).text();

for (const runtime of ['runc', 'crun']) {
  test(`${runtime}: installed, run, updated, rolled back, uninstalled`, { skip }, async () => {
    using lab = systemLab();
    const { root, containers, services } = lab;
    const port = await freePort();
    await lab.publish(IMAGE, webRecipe({ version: 'one' }));
    const name = `web-${runtime}`;
    const runs = runtime === 'crun' ? crunOfOneKind(join(root, 'run')) : runtime;
    const backend = systemBackend(containers, services);
    try {
      await assert.rejects(containers.install(IMAGE, { name, runtime: runs }), (error) => {
        assert.ok(error instanceof AtomicError);
        assert.match(error.message, /config\.json\.template: no value for \$PORT/);
        assert.equal(error.hint, 'give them: --set PORT=…');
        return true;
      });
      assert.deepEqual(containers.list(), []);
      const set = { PORT: String(port) };
      const installed = await containers.install(IMAGE, {
        name,
        runtime: runs,
        set: { ...set, GREETING: 'say "hi"' },
      });
      assert.equal(installed.outcome, 'done');
      assert.equal((await containers.install(IMAGE, { name, set })).outcome, 'unchanged', 'the name is taken');
      assert.equal(readFileSync(join(root, `etc/${name}/web.conf`), 'utf8'), `# one\nport = ${port}\n`);
      assert.equal(execFileSync(join(root, `usr/local/bin/${name}ctl`), { encoding: 'utf8' }), 'one\n');
      assert.ok(existsSync(join(root, `etc/systemd/system/multi-user.target.wants/${name}.service`)), 'enabled');
      const folder = join(root, 'var/lib/containers/atomic');
      assert.equal(readlinkSync(join(folder, name)), `${name}.0`);

      await backend.start(name);
      assert.equal((await backend.list())[0]?.state, 'running');
      // Started is not yet listening.
      await fetchSoon(port, /^say "hi" from one\n$/);
      const facts = Object.fromEntries((await backend.confinement(name)).map(({ aspect, value }) => [aspect, value]));
      assert.equal(facts['no-new-privileges'], 'yes');
      assert.equal(facts['rootfs'], 'read-only');
      assert.match(facts['seccomp'] ?? '', /refused/);
      const exec = await backend.execCommand(
        name,
        ['sh', '-c', 'touch /x; mount -t tmpfs t /tmp; grep -E "NoNewPrivs|Seccomp:|CapBnd" /proc/self/status'],
        {},
      );
      const [program = '', ...args] = exec;
      const said = spawnSync(program, args, { encoding: 'utf8' });
      assert.match(said.stderr, /Read-only file system/);
      assert.match(said.stderr, /mount: .*(permitted|denied)/);
      assert.match(said.stdout, /CapBnd:\s+0000000000000420\nNoNewPrivs:\s+1\nSeccomp:\s+2/);
      assert.ok((await backend.processes(name, ['user'])).some(({ args = '' }) => args.includes('httpd')));

      assert.equal((await containers.update(name)).outcome, 'unchanged');
      await lab.publish(IMAGE, webRecipe({ version: 'two' }));
      writeFileSync(join(root, `etc/${name}/web.conf`), '# mine\n');
      const updated = await containers.update(name);
      assert.deepEqual(updated.notes.length, 1, updated.notes.join());
      assert.equal(await fetchText(port), 'say "hi" from two\n', 'the value that was set stays');
      assert.equal(readFileSync(join(root, `etc/${name}/web.conf`), 'utf8'), '# mine\n');
      assert.equal(execFileSync(join(root, `usr/local/bin/${name}ctl`), { encoding: 'utf8' }), 'two\n');
      if (runtime === 'runc') await badUpdates(lab, name, port);
      await containers.rollback(name, { to: 0 });
      assert.equal(await fetchText(port), 'say "hi" from one\n');
      await backend.stop(name);
      using inside = await runInside(containers, services, name, ['cat', '/bin/serve.sh'], { tty: false });
      const [first = '', ...more] = inside.command;
      assert.match(execFileSync(first, more, { encoding: 'utf8' }), /echo one/);

      const gone = await containers.uninstall(name);
      assert.deepEqual(gone.notes, [`/etc/${name}/web.conf: was changed here and stays`]);
    } finally {
      for (const { name: left } of containers.list()) await containers.uninstall(left);
    }
    const left = readdirSync(join(root, 'var/lib/containers/atomic')).filter((entry) => !entry.startsWith('.'));
    assert.deepEqual(left, []);
    assert.deepEqual(readdirSync(join(root, 'etc/systemd/system')), ['multi-user.target.wants']);
    assert.ok(!existsSync(join(root, 'usr/local')), 'folders made for it went with it');
    assert.equal(execFileSync(runtime, ['list', '-q'], { encoding: 'utf8' }).includes(name), false);
    assert.deepEqual(
      [...lab.store.repo.listRefs().keys()].filter((ref) => ref.includes('deployment')),
      [],
    );
  });
}

/** A value changed, then versions that fail and that never answer: each time the last good one runs again. */
async function badUpdates(lab: SystemLab, name: string, port: number): Promise<void> {
  const { containers } = lab;
  await containers.update(name, { set: { GREETING: 'hey' } });
  assert.equal(await fetchText(port), 'hey from two\n');

  await lab.publish(IMAGE, webRecipe({ version: 'three', serve: 'fails' }));
  await assert.rejects(containers.update(name), (error) => {
    assert.ok(error instanceof OutcomeError && error.outcome === 'unhealthy', String(error));
    assert.match(error.message, /is not well: .*failed.*\.2 is in use again/);
    return true;
  });
  assert.equal(await fetchText(port), 'hey from two\n', 'the old one runs again');
  await lab.publish(IMAGE, webRecipe({ version: 'four', serve: 'mute' }));
  await assert.rejects(containers.update(name), /127\.0\.0\.1.*not well within 6 s/);
  assert.match(containers.lifecycle.history(name)[0]?.reason ?? '', /ECONNREFUSED/);
  const left = await containers.update(name, { onlyUntried: true });
  assert.deepEqual([left.outcome, left.notes.length], ['unchanged', 1], 'not tried again by itself');
  assert.equal(await fetchText(port), 'hey from two\n');
  await containers.rollback(name, { to: 1 });
}

async function fetchSoon(port: number, wanted: RegExp): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      assert.match(await fetchText(port), wanted);
      return;
    } catch (error) {
      if (i > 50) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}
