import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  commitTree,
  fsck,
  pull,
  pullLocal,
  Repo,
  type RepoMode,
  remoteAdd,
  remoteDelete,
  remoteRefs,
} from '@atomic/ostree';
import { startTestServer } from '../../packages/ostree/src/pull/test-server.ts';
import { makeOddTree, notRoot, stock, stockMissing } from './store-tree.ts';

const skip = stockMissing || notRoot;
const scratch = mkdtempSync(join(tmpdir(), 'atomic-pull-interop-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Stock in a process of its own that does not block the server in this one. */
function stockAsync(...args: string[]): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn('ostree', args);
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      output += text;
    });
    child.on('close', (status) => resolve({ status, output }));
  });
}

describe('pull, ours and stock', { skip }, () => {
  const tree = join(scratch, 'tree');
  const served = join(scratch, 'served');
  const modes: RepoMode[] = ['bare', 'bare-user', 'archive'];
  if (!skip) {
    makeOddTree(tree);
    mkdirSync(served);
  }

  test('ours pulls what stock made and serves; stock finds it whole', async () => {
    stock('init', `--repo=${served}/repo`, '--mode=archive');
    stock(
      'commit',
      `--repo=${served}/repo`,
      '-b',
      'os/main',
      '-s',
      'one',
      `--tree=dir=${tree}`,
      '--add-metadata-string=version=1',
    );
    stock(
      'commit',
      `--repo=${served}/repo`,
      '-b',
      'os/main',
      '-s',
      'two',
      `--tree=dir=${tree}`,
      '--add-metadata-string=version=2',
    );
    stock('summary', '-u', `--repo=${served}/repo`);
    await using server = await startTestServer(served);
    for (const mode of modes) {
      const repo = Repo.create(join(scratch, `ours-${mode}`), { mode });
      remoteAdd(repo, 'origin', server.url, { options: { 'gpg-verify': 'false' } });
      await pull(repo, { remote: 'origin', refs: ['os/main'], depth: -1 });
      assert.match(stock('fsck', `--repo=${repo.path}`), /object fsck of 2 commits completed successfully/);
      assert.equal(
        stock('rev-parse', `--repo=${repo.path}`, 'origin:os/main'),
        stock('rev-parse', `--repo=${served}/repo`, 'os/main'),
      );
      // Stock, after ours, has nothing left to fetch.
      const again = await stockAsync('pull', `--repo=${repo.path}`, '--depth=-1', 'origin', 'os/main');
      assert.match(again.output, /, 0 content objects fetched/);
      assert.deepEqual([...(await remoteRefs(repo, 'origin')).keys()], ['os/main']);
    }
  });

  test('stock pulls what ours made and serves', async () => {
    const origin = Repo.create(join(scratch, 'by-ours/repo'), { mode: 'archive' });
    const { commit } = await commitTree(origin, { trees: [{ dir: tree }], branch: 'os/main', subject: 'ours' });
    await using server = await startTestServer(join(scratch, 'by-ours'));
    for (const mode of modes) {
      const path = join(scratch, `stock-${mode}`);
      stock('init', `--repo=${path}`, `--mode=${mode}`);
      stock('remote', 'add', `--repo=${path}`, '--no-gpg-verify', 'origin', server.url);
      const { status, output } = await stockAsync('pull', `--repo=${path}`, 'origin', 'os/main');
      assert.equal(status, 0, output);
      assert.equal(stock('rev-parse', `--repo=${path}`, 'origin:os/main').trim(), commit);
      stock('fsck', `--repo=${path}`);
      const repo = Repo.open(path);
      assert.deepEqual((await fsck(repo)).problems, []);
      assert.equal((await pull(repo, { remote: 'origin', refs: ['os/main'] })).objects, 0);
    }
  });

  test('an interrupted pull of ours is finished by stock, and one of stock by ours', async () => {
    const big = join(scratch, 'big-tree');
    mkdirSync(big);
    for (let i = 0; i < 400; i++) writeFileSync(join(big, `f${i}`), `${i}`);
    const origin = Repo.create(join(scratch, 'big/repo'), { mode: 'archive' });
    await commitTree(origin, { trees: [{ dir: big }], branch: 'os/main', subject: 'big' });
    await using server = await startTestServer(join(scratch, 'big'));
    const path = join(scratch, 'interrupted');
    stock('init', `--repo=${path}`, '--mode=bare');
    stock('remote', 'add', `--repo=${path}`, '--no-gpg-verify', 'origin', server.url);
    const controller = new AbortController();
    server.misbehave = () => {
      if (server.requests.length === 200) controller.abort();
      return false;
    };
    const repo = Repo.open(path);
    await assert.rejects(pull(repo, { remote: 'origin', refs: ['os/main'], signal: controller.signal }), {
      code: 'aborted',
    });
    server.misbehave = null;
    assert.notEqual(spawnSync('ostree', ['rev-parse', `--repo=${path}`, 'origin:os/main']).status, 0);
    const finish = await stockAsync('pull', `--repo=${path}`, 'origin', 'os/main');
    assert.equal(finish.status, 0, finish.output);
    stock('fsck', `--repo=${path}`);

    const other = join(scratch, 'interrupted-stock');
    stock('init', `--repo=${other}`, '--mode=bare');
    stock('remote', 'add', `--repo=${other}`, '--no-gpg-verify', 'origin', server.url);
    server.requests.length = 0;
    const child = spawn('ostree', ['pull', `--repo=${other}`, 'origin', 'os/main'], { stdio: 'ignore' });
    const closed = new Promise((resolve) => child.on('close', resolve));
    server.misbehave = () => {
      if (server.requests.length === 200) child.kill('SIGKILL');
      return server.requests.length >= 200;
    };
    await closed;
    server.misbehave = null;
    await pull(Repo.open(other), { remote: 'origin', refs: ['os/main'] });
    stock('fsck', `--repo=${other}`);
  });

  test('pull-local between every two modes: stock finds it whole; stock pulls ours', async () => {
    const source = Repo.create(join(scratch, 'local-source'), { mode: 'bare' });
    await commitTree(source, { trees: [{ dir: tree }], branch: 'os/main', subject: 'local' });
    for (const from of modes) {
      const middle = Repo.create(join(scratch, `from-${from}`), { mode: from });
      await pullLocal(middle, source, { refs: ['os/main'] });
      for (const to of modes) {
        const end = Repo.create(join(scratch, `from-${from}-to-${to}`), { mode: to });
        await pullLocal(end, middle, { refs: ['os/main'], untrusted: true });
        stock('fsck', `--repo=${end.path}`);
        const theirs = join(scratch, `stock-${from}-to-${to}`);
        stock('init', `--repo=${theirs}`, `--mode=${to}`);
        stock('pull-local', `--repo=${theirs}`, middle.path, 'os/main');
        stock('fsck', `--repo=${theirs}`);
        assert.deepEqual((await fsck(Repo.open(theirs))).problems, []);
      }
    }
  });

  test('remotes: the config is what stock would have written, and stock reads it', () => {
    const a = join(scratch, 'remote-a');
    const b = join(scratch, 'remote-b');
    for (const path of [a, b]) stock('init', `--repo=${path}`, '--mode=archive');
    const repo = Repo.open(a);
    remoteAdd(repo, 'one', 'https://example.com/repo', { branches: ['x/y', 'z'], options: { 'gpg-verify': 'false' } });
    stock('remote', 'add', `--repo=${b}`, '--no-gpg-verify', 'one', 'https://example.com/repo', 'x/y', 'z');
    remoteAdd(repo, 'two', 'metalink=https://example.com/m', { options: { contenturl: 'http://c' } });
    stock('remote', 'add', `--repo=${b}`, '--contenturl=http://c', 'two', 'metalink=https://example.com/m');
    assert.equal(readFileSync(join(a, 'config'), 'utf8'), readFileSync(join(b, 'config'), 'utf8'));
    assert.equal(stock('remote', 'list', `--repo=${a}`), 'one\ntwo\n');
    assert.equal(stock('remote', 'show-url', `--repo=${a}`, 'one'), 'https://example.com/repo\n');
    remoteDelete(repo, 'one');
    stock('remote', 'delete', `--repo=${b}`, 'one');
    assert.equal(readFileSync(join(a, 'config'), 'utf8'), readFileSync(join(b, 'config'), 'utf8'));
  });
});
