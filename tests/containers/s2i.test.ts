import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { atomic, type ImageRecipe, lacks, makeImage, scratchFolder, startDockerd } from './lab.ts';

const scratch = scratchFolder('s2i');
after(() => scratch[Symbol.dispose]());

/** A builder of our own: joins the sources to a page, keeps what it once made, and serves it. */
const BUILDER: ImageRecipe = {
  labels: { 'io.openshift.s2i.scripts-url': 'image:///usr/libexec/s2i' },
  user: '1000',
  env: ['PATH=/bin:/usr/bin'],
  files: {
    '/opt/app/': '',
    '/usr/libexec/s2i/assemble': `#!/bin/sh -e
mkdir -p /opt/app/out /opt/app/cache
[ ! -d /tmp/artifacts ] || cp -r /tmp/artifacts/. /opt/app/cache/
echo built >> /opt/app/cache/times
cat /tmp/src/*.txt > /opt/app/out/page
echo "$GREETING by $(id -u), $(cat /opt/app/cache/times | grep -c built)" >> /opt/app/out/page
`,
    '/usr/libexec/s2i/run': '#!/bin/sh\nexec cat /opt/app/out/page\n',
    '/usr/libexec/s2i/save-artifacts': '#!/bin/sh -e\ncd /opt/app/cache\nexec tar -cf - times\n',
    '/usr/libexec/s2i/usage': '#!/bin/sh\necho "joins text files"\n',
  },
  prepare: (folder) => {
    for (const tool of ['chown', 'date', 'mv', 'ln']) symlinkSync('busybox', join(folder, 'bin', tool));
    // The user that assembles owns where it works.
    execFileSync('chown', ['1000:0', join(folder, 'opt/app')]);
    chmodSync(join(folder, 'tmp'), 0o1777);
  },
};

function sources(name: string, files: Record<string, string>): string {
  const folder = join(scratch.path, name);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const reason = lacks('dockerd', 'docker', 'skopeo', 'git', 'tar');

describe('source to image, by a real engine', { skip: reason ?? false }, () => {
  let docker: Awaited<ReturnType<typeof startDockerd>>;
  const s2i = async (...words: string[]) => await atomic(['s2i', ...words], { env: { DOCKER_HOST: docker.host } });
  before(async () => {
    docker = await startDockerd();
    const layout = join(scratch.path, 'layout');
    await makeImage(layout, 'builder', BUILDER);
    docker.load(`oci:${layout}:builder`, 'localhost/builder:1');
    await makeImage(layout, 'plain', { labels: {} });
    docker.load(`oci:${layout}:plain`, 'localhost/plain:1');
  });
  after(async () => await docker[Symbol.asyncDispose]());
  const page = (image: string): string => docker.docker('run', '--rm', '--network=none', image);

  test('built, ignored files left out, environment in, labels on', async () => {
    const folder = sources('one', {
      'a.txt': 'first\n',
      'b.txt': 'second\n',
      'secret.txt': 'never\n',
      '.s2iignore': '*.txt\n!a.txt\n!b.txt\n',
      '.s2i/environment': '# who\nGREETING=Hello $PATH "you" \\n\n',
    });
    const built = await s2i('build', folder, 'localhost/builder:1', 'app:1', '--network=none', '--quiet');
    assert.equal(built.status, 0, built.err);
    assert.equal(page('app:1'), 'first\nsecond\nHello $PATH "you" \\n by 1000, 1\n');
    const { Labels, User, Cmd } = JSON.parse(
      docker.docker('image', 'inspect', '--format', '{{json .Config}}', 'app:1'),
    );
    assert.equal(Labels['io.openshift.s2i.build.image'], 'localhost/builder:1');
    assert.equal(Labels['io.openshift.s2i.build.source-location'], folder);
    assert.deepEqual([User, Cmd], ['1000', ['/usr/libexec/s2i/run']]);
  });

  test('incremental keeps what the image before kept; rebuilt from its labels', async () => {
    const again = await s2i(
      'build',
      join(scratch.path, 'one'),
      'localhost/builder:1',
      'app:1',
      '--incremental',
      '--network=none',
      '-q',
    );
    assert.equal(again.status, 0, again.err);
    assert.match(page('app:1'), /, 2\n$/);
    const rebuilt = await s2i('rebuild', 'app:1', 'app:2', '--network=none', '-q');
    assert.equal(rebuilt.status, 0, rebuilt.err);
    assert.match(page('app:2'), /, 1\n$/);
  });

  test("a Dockerfile, the same byte for byte; the sources' own scripts come first", async () => {
    const folder = sources('own', {
      'a.txt': 'x\n',
      '.s2i/bin/assemble': '#!/bin/sh\necho own > /opt/app/page\n',
      '.s2i/bin/run': '#!/bin/sh\ncat /opt/app/page\n',
    });
    const write = async (name: string): Promise<string> => {
      const path = join(scratch.path, name, 'Dockerfile');
      const made = await s2i('build', folder, 'localhost/builder:1', '--as-dockerfile', path, '-e', 'B=2', '-e', 'A=1');
      assert.equal(made.status, 0, made.err);
      return readFileSync(path, 'utf8');
    };
    const text = await write('out');
    assert.equal(await write('out2'), text);
    assert.ok(
      existsSync(join(scratch.path, 'out/upload/src/a.txt')) && !existsSync(join(scratch.path, 'out/upload/src/.git')),
    );
    docker.docker('build', '-q', '--network=none', '-t', 'own:1', join(scratch.path, 'out'));
    assert.equal(page('own:1'), 'own\n');
  });

  test('from git, at a tag', async () => {
    const folder = sources('repo', { 'app/a.txt': 'tagged\n' });
    const git = (...words: string[]) =>
      execFileSync('git', ['-C', folder, '-c', 'user.name=x', '-c', 'user.email=x@example', ...words]);
    git('init', '-q');
    git('add', '.');
    git('commit', '-q', '-m', 'one');
    git('tag', 'v1');
    writeFileSync(join(folder, 'app/a.txt'), 'later\n');
    git('commit', '-q', '-a', '-m', 'two');
    const built = await s2i(
      'build',
      `file://${folder}#v1`,
      'localhost/builder:1',
      'git:1',
      '--context-dir=app',
      '--network=none',
      '-q',
    );
    assert.equal(built.status, 0, built.err);
    assert.match(page('git:1'), /^tagged\n/);
    const { Labels } = JSON.parse(docker.docker('image', 'inspect', '--format', '{{json .Config}}', 'git:1'));
    assert.equal(Labels['io.openshift.s2i.build.commit.message'], 'one');
  });

  test('usage; what is no builder; users that may not', async () => {
    assert.equal((await s2i('usage', 'localhost/builder:1')).out.trim(), 'joins text files');
    const folder = join(scratch.path, 'one');
    for (const [words, status, why] of [
      [['build', folder, 'localhost/plain:1', 'x:1'], 1, /is no builder/],
      [['build', folder, 'localhost/builder:1', 'x:1', '--allowed-uids=2000-'], 1, /runs as 1000/],
      [['build', folder, 'localhost/builder:1'], 2, /needs a name/],
      [['rebuild', 'localhost/plain:1'], 1, /does not say what it was built from/],
    ] as [string[], number, RegExp][]) {
      const refused = await s2i(...words);
      assert.match(refused.err, why);
      assert.equal(refused.status, status, refused.err);
    }
  });
});
