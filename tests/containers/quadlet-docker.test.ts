import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runGenerator, UnitFile } from '@atomic/containers';
import { freePort, lacks, makeImage, scratchFolder, startDockerd } from './lab.ts';

const scratch = scratchFolder('quadlet-docker');
after(() => scratch[Symbol.dispose]());
const reason = lacks('dockerd', 'docker', 'skopeo');

describe('units for docker do what they say', { skip: reason ?? false }, () => {
  let docker: Awaited<ReturnType<typeof startDockerd>>;
  before(async () => {
    docker = await startDockerd();
    const layout = join(scratch.path, 'layout');
    await makeImage(layout, 'x', { files: { '/data/': '', '/pages/': '' } });
    docker.load(`oci:${layout}:x`, 'localhost/web:1');
  });
  after(async () => await docker[Symbol.asyncDispose]());

  /** Runs the commands of one key, as systemd would. */
  const commands = (unit: UnitFile, key: string): { words: string[]; may: boolean }[] =>
    unit.all('Service', key).map((line) => {
      const one = UnitFile.parse(`[S]\nk=${line}\n`, 'x').command('S', 'k')?.words ?? [];
      const words = one.map((word) => word.replaceAll('%N', unit.name.replace('.service', '')).replaceAll('%%', '%'));
      const may = words[0]?.startsWith('-') === true;
      return { words: [(words[0] ?? '').replace(/^-/, ''), ...words.slice(1)], may };
    });
  const run = (unit: UnitFile, key: string): void => {
    for (const { words, may } of commands(unit, key)) {
      const [program = '', ...args] = words;
      const ran = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, DOCKER_HOST: docker.host } });
      assert.ok(may || ran.status === 0, `${words.join(' ')}: ${ran.stderr}`);
    }
  };

  test('a volume and a container, started, stopped, and started over what a cut left', async () => {
    const port = await freePort();
    const files = {
      'data.volume': '[Volume]\nLabel=a=b\n',
      'web.container': `[Container]
Image=localhost/web:1
ContainerName=the-web
Network=host
Volume=data.volume:/data
Volume=./pages:/pages:ro
Environment="GREETING=50%% of \\"it\\"" OTHER=x
ReadOnly=yes
DropCapability=all
NoNewPrivileges=yes
HealthCmd=true
StopTimeout=1
Exec=sh -c 'echo "$$GREETING" > /data/greeting; exec httpd -f -p ${port} -h /pages'
`.replaceAll('$$', '$'),
      'pages/index.html': 'hello',
    };
    const folder = join(scratch.path, 'sources');
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const { units, errors } = runGenerator({ folders: [folder], engine: 'docker' });
    assert.deepEqual(errors, []);
    const unit = (name: string): UnitFile =>
      UnitFile.parse(units.find((one) => one.name === name)?.text ?? assert.fail(name), name);
    run(unit('data-volume.service'), 'ExecStart');
    // A second time is no error.
    run(unit('data-volume.service'), 'ExecStart');
    const web = unit('web.service');
    for (let round = 0; round < 2; round++) {
      run(web, 'ExecStartPre');
      const [start] = commands(web, 'ExecStart');
      const [program = '', ...args] = start?.words ?? [];
      const child = spawn(program, args, { stdio: 'ignore', env: { ...process.env, DOCKER_HOST: docker.host } });
      const answer = async (): Promise<string> => {
        for (let tries = 0; ; tries++) {
          try {
            return await (await fetch(`http://127.0.0.1:${port}/`)).text();
          } catch (error) {
            if (tries > 100) throw error;
            await sleep(200);
          }
        }
      };
      assert.equal(await answer(), 'hello');
      assert.equal(docker.docker('exec', 'the-web', 'cat', '/data/greeting'), '50% of "it"\n');
      const made = JSON.parse(docker.docker('inspect', '--format', '{{json .HostConfig}}', 'the-web'));
      assert.deepEqual([made.ReadonlyRootfs, made.CapDrop, made.AutoRemove], [true, ['all'], true]);
      if (round === 0) {
        // The client is killed, and what it started stays: the next start has to cope.
        child.kill('SIGKILL');
      } else {
        run(web, 'ExecStop');
        run(web, 'ExecStopPost');
      }
    }
    assert.equal(docker.docker('ps', '-aq'), '');
  });
});
