import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { commandEngine } from '@atomic/containers';
import { atomic, lacks, makeImage, scratchFolder, startDockerd, startRegistry } from './lab.ts';

const scratch = scratchFolder('apps');
after(() => scratch[Symbol.dispose]());

function bundle(name: string, version: string): string {
  const folder = join(scratch.path, `${name}-${version}`);
  const files = {
    'app.yaml': `name: ${name}\nversion: ${version}\nparameters:\n  port: {type: int, default: 80}\n`,
    'quadlets/web.container':
      '[Container]\nImage=localhost/demo:1\nPublishPort={{ port }}:80\n[Install]\nWantedBy=multi-user.target\n',
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const registryReason = lacks('docker-registry', 'skopeo');

test('an app goes through a registry, and policy is asked', { skip: registryReason ?? false }, async () => {
  await using registry = await startRegistry();
  const name = `${registry.host}/apps/demo`;
  const folder = bundle('demo', '1.5');
  const pushed = await atomic(['app', 'push', folder, name, '--tls-verify=false', '--yes']);
  assert.equal(pushed.status, 0, pushed.err);
  assert.match(pushed.out, /apps\/demo:1\.5 sha256:/);
  const raw = execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}:1.5`], {
    encoding: 'utf8',
  });
  assert.equal(JSON.parse(raw).artifactType, 'application/vnd.atomic.app.v1');
  const state = { ATOMIC_VAR_LIB: join(scratch.path, 'state') };
  const policy = join(scratch.path, 'policy.json');
  const install = (rule: string) => {
    writeFileSync(policy, JSON.stringify({ default: [{ type: rule }] }));
    const words = [
      'app',
      'install',
      `${name}:1.5`,
      '--display',
      '--tls-verify=false',
      `--policy=${policy}`,
      '--set',
      'port=81',
    ];
    return atomic(words, { env: state });
  };
  const planned = await install('insecureAcceptAnything');
  assert.equal(planned.status, 0, planned.err);
  assert.match(planned.out, /write \/etc\/systemd\/system\/demo-web\.service/);
  assert.ok(!existsSync('/etc/systemd/system/demo-web.service'));
  const refused = await install('reject');
  assert.equal(refused.status, 3, refused.err);
});

describe('what apps ask of engines', () => {
  const check = async (engine: ReturnType<typeof commandEngine>): Promise<void> => {
    const layout = join(scratch.path, `layout-${engine.kind}`);
    await makeImage(layout, 'x', { files: { '/made': 'for apps' } });
    const archive = join(scratch.path, `${engine.kind}.tar`);
    execFileSync('skopeo', [
      '--insecure-policy',
      'copy',
      '-q',
      `oci:${layout}:x`,
      `docker-archive:${archive}:localhost/demo:1`,
    ]);
    assert.equal(await engine.find('localhost/demo:1'), undefined);
    await engine.load(archive);
    const found = await engine.find('localhost/demo:1');
    assert.match(found?.id ?? '', /^sha256:[0-9a-f]{64}$/);
    await engine.tag(found?.id ?? '', 'localhost/atomic-app/demo/demo:1');
    await engine.forget('image', 'localhost/demo:1');
    assert.equal(await engine.find('localhost/demo:1'), undefined);
    assert.equal((await engine.find('localhost/atomic-app/demo/demo:1'))?.id, found?.id);
    await engine.forget('image', 'localhost/atomic-app/demo/demo:1');
    assert.equal(await engine.find(found?.id ?? ''), undefined);
    await engine.forget('volume', 'nothing-there');
    await assert.rejects(engine.pull('localhost:1/nothing:1'));
  };

  test('docker', { skip: lacks('dockerd', 'docker', 'skopeo') ?? false }, async () => {
    await using docker = await startDockerd();
    await check(commandEngine('docker', 'docker', { words: ['-H', docker.host] }));
  });

  test('podman', { skip: lacks('podman', 'skopeo') ?? false }, async () => {
    const [root, run] = [join(scratch.path, 'podman'), join(scratch.path, 'podman-run')];
    const words = ['--root', root, '--runroot', run, '--storage-driver=vfs'];
    await check(commandEngine('podman', 'podman', { words }));
  });
});
