// The life of an app by a real docker, and by runc alone, under a systemctl that starts what units say (systemctl.ts); with systemd itself
// it is in tests/vm/apps.test.ts.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import {
  type AppEngine,
  Apps,
  commandEngine,
  findRuntime,
  OutcomeError,
  openBundle,
  openImageStore,
  Systemd,
  storeEngine,
  trustPaths,
} from '@atomic/containers';
import { freePort, lacks, makeImage, root, scratchFolder, startDockerd } from './lab.ts';

const COMMANDS = { well: 'httpd -f -p {{ port }} -h /pages', fails: 'false' } as const;

/** What an app is run by, as the test sees it. */
interface Kind {
  engine: AppEngine;
  /** A unit that stands for its daemon. */
  daemon?: string;
  /** Of the container that runs: the version in its image, and the name of that image. */
  version(): string;
  image(): string;
  /** Names of containers and images that are there. */
  left(): string;
}

test('an app of docker: installed, updated, back by itself, rolled back, gone', {
  skip: lacks('dockerd', 'docker', 'skopeo') ?? false,
}, async () => {
  await using docker = await startDockerd();
  await life((script) => ({
    engine: commandEngine(
      'docker',
      script('engine', `PATH='${process.env['PATH'] ?? ''}' exec docker -H ${docker.host} "$@"`),
    ),
    daemon: 'docker.service',
    version: () => docker.docker('exec', 'demo-web', 'cat', '/version'),
    image: () => docker.docker('inspect', '--format', '{{.Config.Image}}', 'demo-web'),
    left: () => docker.docker('ps', '-aq') + docker.docker('images', '-q'),
  }));
});

test('an app without an engine: the same', { skip: lacks('runc', 'skopeo') ?? false }, async () => {
  using state = scratchFolder('app-store');
  const none = join(state.path, 'none');
  const store = openImageStore({ state: join(state.path, 'containers'), systemRepo: none });
  const environment = `ATOMIC_VAR_LIB=${state.path} ATOMIC_OSTREE_REPO=${none}`;
  const policy = join(state.path, 'policy.json');
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const runtime = findRuntime('runc');
  await life((script) => ({
    engine: storeEngine({
      store,
      request: async () => ({ paths: trustPaths({ privileged: true, override: { policy } }), access: () => ({}) }),
      program: script('atomic', `${environment} exec ${join(root, 'bin/atomic')} "$@"`),
      runtime,
      state: join(state.path, 'containers'),
    }),
    version: () =>
      execFileSync(runtime, ['--root', '/run/atomic/quadlets', 'exec', 'demo-web', 'cat', '/version'], {
        encoding: 'utf8',
      }).trim(),
    image: () => JSON.parse(readFileSync(join(state.path, 'containers/quadlets/demo-web/atomic.json'), 'utf8')).image,
    left: () =>
      [...readdirSync(join(state.path, 'containers/quadlets')), ...store.list().map(({ name }) => name)].join(),
  }));
});

async function life(make: (script: (name: string, text: string) => string) => Kind): Promise<void> {
  using scratch = scratchFolder('app-life');
  const [units, config, bin, state] = ['units', 'etc', 'bin', 'shim'].map((name) => join(scratch.path, name));
  assert.ok(units !== undefined && config !== undefined && bin !== undefined && state !== undefined);
  for (const folder of [units, config, bin, state]) mkdirSync(folder);
  const script = (name: string, text: string): string => {
    const path = join(bin, name);
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  };
  const kind = make(script);
  script('systemctl', `exec '${process.execPath}' --no-warnings '${join(import.meta.dirname, 'systemctl.ts')}' "$@"`);
  script('journalctl', 'exit 1');
  const environment = { SHIM_STATE: state, SHIM_UNITS: units, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const before = { ...process.env };
  Object.assign(process.env, environment);
  try {
    if (kind.daemon !== undefined) writeFileSync(join(units, kind.daemon), '[Service]\nExecStart=sleep 1000\n');
    const apps = new Apps({
      folder: join(scratch.path, 'apps'),
      services: new Systemd({ mark: state }),
      engine: kind.engine,
      places: { units, config },
    });
    const port = await freePort();
    const bundle = async (version: string, serve: keyof typeof COMMANDS = 'well') => {
      const folder = join(scratch.path, `demo-${version}`);
      const layout = join(scratch.path, `image-${version}`);
      await makeImage(layout, 'x', { files: { '/pages/': '', '/version': version } });
      const files = {
        'app.yaml': `name: demo\nversion: ${version}\nparameters:\n  port: {type: int}\nhealth:\n  seconds: 15\n  settle: 1\n  probes: [{type: http, url: "http://127.0.0.1:{{ port }}/"}]\n`,
        'quadlets/web.container': `[Container]\nImage=localhost/demo:${version}\nNetwork=host\nExec=${COMMANDS[serve]}\nStopTimeout=1\nVolume={{ config }}/index.html:/pages/index.html:ro\n[Install]\nWantedBy=multi-user.target\n`,
        'config/index.html': 'hello from {{ version }}',
      };
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), text);
      }
      mkdirSync(join(folder, 'images'));
      const archive = `docker-archive:${join(folder, 'images/web.tar')}:localhost/demo:${version}`;
      execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', `oci:${layout}:x`, archive]);
      return await openBundle(folder);
    };
    const page = async (): Promise<string> => await (await fetch(`http://127.0.0.1:${port}/`)).text();
    const runs = (): string => kind.version();

    await apps.install(await bundle('1.0'), { set: new Map([['port', String(port)]]) });
    assert.deepEqual([await page(), runs()], ['hello from 1.0', '1.0']);
    assert.match(kind.image(), /^localhost\/atomic-app\/demo\/demo:/);
    await apps.update('demo', await bundle('2.0'));
    assert.deepEqual([await page(), runs()], ['hello from 2.0', '2.0']);
    await assert.rejects(
      apps.update('demo', await bundle('3.0', 'fails')),
      (error) => error instanceof OutcomeError && error.outcome === 'unhealthy',
    );
    assert.deepEqual([await page(), runs()], ['hello from 2.0', '2.0']);
    await apps.rollback('demo');
    assert.deepEqual([await page(), runs()], ['hello from 1.0', '1.0']);
    assert.match(readFileSync(join(units, 'demo-web.service'), 'utf8'), /Of the app demo 1\.0;/);
    await apps.uninstall('demo', { purge: true });
    assert.equal(kind.left(), '');
    assert.deepEqual(
      readdirSync(units).filter((name) => name.includes('demo')),
      [],
    );
    assert.deepEqual(readdirSync(config), []);
    if (kind.daemon !== undefined) execFileSync(join(bin, 'systemctl'), ['stop', kind.daemon]);
  } finally {
    for (const name of Object.keys(environment)) {
      const value = before[name];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}
