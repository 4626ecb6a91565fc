import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lacks, makeImage, scratchFolder, startDockerd, startRegistry } from './lab.ts';

const skip = lacks('dockerd', 'docker', 'docker-registry', 'skopeo', 'busybox') ?? false;

test("the lab's images run in its engine and go through its registry", { skip }, async () => {
  using work = scratchFolder('lab');
  await using engine = await startDockerd();
  await using registry = await startRegistry();
  const image = await makeImage(`${work.path}/oci`, 'v1', { files: { 'hello.txt': 'hello\n' } });
  registry.push(image.reference, 'lab/hello:v1');
  engine.load(image.reference, 'hello:v1');
  assert.equal(engine.docker('run', '--rm', '--network=none', 'hello:v1', 'cat', '/hello.txt'), 'hello\n');
  engine.docker('pull', '-q', `${registry.host}/lab/hello:v1`);
});
