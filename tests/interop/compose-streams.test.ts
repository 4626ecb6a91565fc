import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promote, readGraph, retain, writeGraph } from '@atomic/compose';
import {
  AtomicError,
  commitTree,
  hasDelta,
  listDeltas,
  type Metadata,
  pull,
  Repo,
  remoteAdd,
  type SignRequest,
  serveFolder,
} from '@atomic/ostree';
import { initSysroot, lookAtBranch } from '@atomic/sysroot';

const hasStock = spawnSync('sh', ['-c', 'command -v ostree']).status === 0;
const skip = process.getuid?.() !== 0 ? 'needs root (a sysroot)' : hasStock ? false : 'needs stock ostree';
const scratch = mkdtempSync(join(tmpdir(), 'atomic-streams-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const stock = (...args: string[]): string =>
  execFileSync('ostree', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

const CONTINUOUS = 'os/continuous';
const STABLE = 'os/stable';
const DAY = 86_400;
const START = Date.parse('2026-11-01T00:00Z') / 1000;

/** A repository with versions 1 … count in `os/continuous`, a day apart; made so that they may come into `os/stable`. */
async function publisher(
  count: number,
  bound = [CONTINUOUS, STABLE],
  apart = DAY,
): Promise<{ repo: Repo; commits: string[] }> {
  const repo = Repo.create(mkdtempSync(join(scratch, 'repo-')), { mode: 'archive' });
  const commits: string[] = [];
  for (let version = 1; version <= count; version++) {
    const dir = join(scratch, 'tree');
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir);
    writeFileSync(join(dir, 'version'), `${version}\n`);
    writeFileSync(join(dir, `only-${version}`), 'x'.repeat(version));
    const metadata: Metadata = new Map([
      ['version', { type: 's', value: String(version) }],
      ['ostree.ref-binding', { type: 'as', value: bound }],
    ]);
    const timestamp = START + version * apart;
    commits.push((await commitTree(repo, { trees: [{ dir }], branch: CONTINUOUS, timestamp, metadata })).commit);
  }
  return { repo, commits };
}
const at = (commits: readonly string[], version: number): string => commits[version - 1] ?? assert.fail();

describe('streams: the very same commit from one to the next', { skip }, () => {
  test('promotion moves the ref, keeps the commit, tells of it in graph and summary; stock pulls and verifies it', async () => {
    const { repo, commits } = await publisher(4);
    const first = await promote(repo, { from: at(commits, 2), to: STABLE, now: START });
    assert.deepEqual([first.changed, first.commit, first.before], [true, at(commits, 2), null]);
    const second = await promote(repo, { from: CONTINUOUS, to: STABLE, deltas: 3, barrier: true, now: START + 1 });
    assert.equal(second.commit, at(commits, 4));
    assert.equal(repo.readRef(STABLE), repo.readRef(CONTINUOUS), 'the very same commit');
    assert.deepEqual(second.deltas, [`${at(commits, 2)}-${at(commits, 4)}`], 'from the releases of the stream');
    assert.deepEqual(readGraph(repo).streams[STABLE], [
      { commit: at(commits, 2), version: '2', released: START },
      { commit: at(commits, 4), version: '4', released: START + 1, barrier: true },
    ]);
    const again = await promote(repo, { from: CONTINUOUS, to: STABLE, deltas: 3, rollout: 'duration=48h' });
    assert.deepEqual([again.changed, again.deltas], [false, []]);
    assert.deepEqual(readGraph(repo).streams[STABLE]?.at(-1), {
      commit: at(commits, 4),
      version: '4',
      released: START + 1,
      barrier: true,
      rollout: 'duration=48h',
    });
    const summary = stock('summary', `--repo=${repo.path}`, '--view', '--raw');
    assert.match(
      summary,
      new RegExp(`'atomic\\.stream\\.os/stable': <\\['${at(commits, 2)}', '${at(commits, 4)}'\\]>`),
    );
    assert.match(summary, new RegExp(`'atomic\\.rollout\\.${at(commits, 4)}': <'duration=48h'>`));
    const client = join(scratch, 'client');
    stock('init', `--repo=${client}`, '--mode=bare-user');
    stock('remote', 'add', `--repo=${client}`, '--no-sign-verify', 'origin', `file://${repo.path}`);
    stock('pull', `--repo=${client}`, 'origin', STABLE);
    assert.equal(stock('rev-parse', `--repo=${client}`, `origin:${STABLE}`).trim(), at(commits, 4));
    stock('fsck', `--repo=${repo.path}`, '--quiet');
  });

  test('a commit bound to other refs is refused, with what to do; so is going back', async () => {
    const { repo, commits } = await publisher(3, [CONTINUOUS]);
    await assert.rejects(
      promote(repo, { from: CONTINUOUS, to: STABLE }),
      (error) =>
        error instanceof AtomicError &&
        /is bound to os\/continuous, not to os\/stable: clients would refuse it/.test(error.message) &&
        /bind-refs/.test(error.hint ?? ''),
    );
    assert.equal(repo.readRef(STABLE), null);
    assert.equal(existsSync(join(repo.path, 'atomic-graph.json')), false);
    // Stock clients do refuse what such a promotion would make.
    repo.setRef(STABLE, at(commits, 3));
    const client = join(scratch, 'refusing');
    stock('init', `--repo=${client}`, '--mode=bare-user');
    stock('remote', 'add', `--repo=${client}`, '--no-sign-verify', 'origin', `file://${repo.path}`);
    assert.throws(() => stock('pull', `--repo=${client}`, 'origin', STABLE));

    const other = await publisher(3);
    await promote(other.repo, { from: at(other.commits, 3), to: STABLE });
    await assert.rejects(promote(other.repo, { from: at(other.commits, 2), to: STABLE }), /has something newer/);
    await promote(other.repo, { from: at(other.commits, 2), to: STABLE, back: true });
    assert.equal(other.repo.readRef(STABLE), at(other.commits, 2));
    await assert.rejects(
      promote(other.repo, { from: CONTINUOUS, to: STABLE, rollout: 'soon', deltas: 1 }),
      /'soon' means nothing/,
    );
    assert.deepEqual(listDeltas(other.repo), [], 'before anything is made');
    await promote(other.repo, { from: at(other.commits, 3), to: STABLE });
    assert.equal(other.repo.readRef(STABLE), at(other.commits, 3), 'forward again');
  });

  test('going back is told by descent where all times are the same; what is known of a release stays', async () => {
    const { repo, commits } = await publisher(3, undefined, 0);
    await promote(repo, { from: at(commits, 1), to: STABLE, barrier: true, rollout: 'paused' });
    await promote(repo, { from: at(commits, 3), to: STABLE });
    for (const version of [1, 2])
      await assert.rejects(promote(repo, { from: at(commits, version), to: STABLE }), /has something newer/);
    await promote(repo, { from: at(commits, 1), to: STABLE, back: true, now: START });
    assert.deepEqual(readGraph(repo).streams[STABLE]?.at(-1), {
      commit: at(commits, 1),
      version: '1',
      released: START,
      barrier: true,
      rollout: 'paused',
    });
    // Past its stream, as `watch` moves a ref: what the stream had last is behind it too.
    repo.setRef(STABLE, at(commits, 3));
    await assert.rejects(promote(repo, { from: at(commits, 1), to: STABLE, barrier: false }), /has something newer/);
  });

  test('what a host may take are the releases of its stream, not what was made in between; barriers count', async () => {
    const { repo, commits } = await publisher(6);
    for (const [version, barrier] of [[1], [3, true], [6]] as [number, boolean?][])
      await promote(repo, { from: at(commits, version), to: STABLE, barrier });
    // Old commits between go; the graph knows the way without them.
    const kept = await retain(repo, { retention: { keepLast: 1 }, refs: new Map([[STABLE, { keepLast: 3 }]]) });
    assert.deepEqual(kept.kept, { [CONTINUOUS]: 1, [STABLE]: 3 });
    assert.equal(repo.hasObject('commit', at(commits, 4)), false);
    await using server = await serveFolder(repo.path);
    const path = mkdtempSync(join(scratch, 'host-'));
    const sysroot = initSysroot(path);
    remoteAdd(sysroot.repo, 'origin', `http://127.0.0.1:${server.port}`, {
      options: new Map([['gpg-verify', 'false']]),
    });
    await pull(sysroot.repo, { remote: 'origin', refs: [at(commits, 1)] });
    const look = await lookAtBranch(sysroot, `origin:${STABLE}`, at(commits, 1), 'machine');
    assert.deepEqual(
      look.candidates.map(({ version, barrier }) => [version, barrier]),
      [
        ['6', false],
        ['3', true],
      ],
    );
    // A branch that is no stream is its history, as ever.
    const history = await publisher(3);
    await using other = await serveFolder(history.repo.path);
    remoteAdd(sysroot.repo, 'other', `http://127.0.0.1:${other.port}`, { options: new Map([['gpg-verify', 'false']]) });
    await pull(sysroot.repo, { remote: 'other', refs: [at(history.commits, 1)] });
    const walked = await lookAtBranch(sysroot, `other:${CONTINUOUS}`, at(history.commits, 1), 'machine');
    assert.deepEqual(
      walked.candidates.map(({ version }) => version),
      ['3', '2'],
    );
  });

  test('retention: the last, the young, barriers and newest stay; deltas and objects of the others go', async () => {
    const { repo, commits } = await publisher(6);
    for (const version of [1, 2, 4, 6])
      await promote(repo, {
        from: at(commits, version),
        to: STABLE,
        deltas: 1,
        barrier: version === 2,
        now: START + version * DAY,
      });
    assert.equal(listDeltas(repo).length, 3);
    const options = { retention: { keepLast: 1, keepYounger: 2.5 * DAY }, now: START + 6 * DAY };
    const plan = await retain(repo, { ...options, dryRun: true });
    assert.deepEqual(plan.dropped, { [CONTINUOUS]: 3, [STABLE]: 1 });
    assert.equal(listDeltas(repo).length, 3, 'a dry run leaves all');
    const done = await retain(repo, options);
    assert.deepEqual([done.dropped, done.deleted], [plan.dropped, plan.deleted]);
    assert.deepEqual(
      commits.map((commit) => repo.hasObject('commit', commit)),
      [false, true, false, true, true, true],
    );
    assert.ok(hasDelta(repo, { from: at(commits, 4), to: at(commits, 6) }));
    assert.equal(
      hasDelta(repo, { from: at(commits, 2), to: at(commits, 4) }),
      false,
      'nobody updates to that one any more',
    );
    assert.deepEqual(
      readGraph(repo).streams[STABLE]?.map(({ version }) => version),
      ['2', '4', '6'],
    );
    stock('fsck', `--repo=${repo.path}`, '--quiet', '--all');
    assert.match(stock('summary', `--repo=${repo.path}`, '--view'), /os\/stable/);
  });

  test('retention: barriers stay where the ref moved past its stream, and their deltas; streams without a ref go', async () => {
    const { repo, commits } = await publisher(6);
    const old = at(commits, 1);
    repo.setRef(CONTINUOUS, old);
    await promote(repo, { from: old, to: CONTINUOUS, barrier: true });
    await promote(repo, { from: at(commits, 4), to: CONTINUOUS, barrier: true, deltas: 1 });
    // As `watch` moves it; and hosts came from a release that is no parent.
    repo.setRef(CONTINUOUS, at(commits, 6));
    await promote(repo, { from: old, to: STABLE });
    repo.setRef(STABLE, null);
    const { kept } = await retain(repo, { retention: { keepLast: 1 } });
    assert.deepEqual(kept, { [CONTINUOUS]: 3 });
    assert.deepEqual(
      commits.map((commit) => repo.hasObject('commit', commit)),
      [true, false, false, true, false, true],
    );
    assert.ok(hasDelta(repo, { from: old, to: at(commits, 4) }));
    const { streams } = readGraph(repo);
    assert.deepEqual(Object.keys(streams), [CONTINUOUS]);
    assert.deepEqual(
      streams[CONTINUOUS]?.map(({ commit, barrier }) => [commit, barrier]),
      [
        [old, true],
        [at(commits, 4), true],
      ],
    );
    stock('fsck', `--repo=${repo.path}`, '--quiet', '--all');
  });

  test('retention: a barrier of a commit’s own counts in a stream too, and for deltas', async () => {
    const { repo, commits } = await publisher(2);
    const dir = join(scratch, 'tree');
    const metadata: Metadata = new Map([['atomic.barrier', { type: 'b', value: true }]]);
    const timestamp = START + 9 * DAY;
    const barrier = (await commitTree(repo, { trees: [{ dir }], timestamp, metadata })).commit;
    await promote(repo, { from: at(commits, 1), to: STABLE });
    await promote(repo, { from: barrier, to: STABLE, deltas: 1 });
    const newest = (await commitTree(repo, { trees: [{ dir }], timestamp: timestamp + DAY })).commit;
    await promote(repo, { from: newest, to: STABLE });
    await retain(repo, { retention: { keepLast: 1 } });
    assert.ok(repo.hasObject('commit', barrier));
    assert.ok(hasDelta(repo, { from: at(commits, 1), to: barrier }));
  });

  test('retention: what is said of one ref adds to what is said of all; a ref that is not there is an error', async () => {
    const { repo, commits } = await publisher(6);
    for (const version of [1, 2, 3, 4, 5, 6])
      await promote(repo, { from: at(commits, version), to: STABLE, now: START });
    const options = { retention: { keepLast: 3 }, now: START + 9 * DAY };
    await assert.rejects(retain(repo, { ...options, refs: new Map([['os/stabel', { keepYounger: DAY }]]) }), {
      code: 'not-found',
      hint: `refs there: ${CONTINUOUS}, ${STABLE}`,
    });
    const { kept } = await retain(repo, { ...options, refs: new Map([[STABLE, { keepYounger: DAY }]]) });
    assert.deepEqual(kept, { [CONTINUOUS]: 3, [STABLE]: 3 });
  });

  test('retention that was cut off after the graph: the summary forgets what goes before it goes', async () => {
    const { repo, commits } = await publisher(3);
    for (const version of [1, 2, 3]) await promote(repo, { from: at(commits, version), to: STABLE });
    const { streams } = readGraph(repo);
    writeGraph(repo, { streams: { [STABLE]: (streams[STABLE] ?? []).slice(-1) } });
    await retain(repo, { retention: {}, refs: new Map([[STABLE, { keepLast: 1 }]]) });
    assert.match(
      stock('summary', `--repo=${repo.path}`, '--view', '--raw'),
      new RegExp(`'atomic\\.stream\\.os/stable': <\\['${at(commits, 3)}'\\]>`),
    );
  });

  test('summaries and deltas are signed with the keys given', async () => {
    const { repo, commits } = await publisher(2);
    const { publicKey, sign } = ed25519();
    await promote(repo, { from: at(commits, 1), to: STABLE, sign });
    await promote(repo, { from: at(commits, 2), to: STABLE, deltas: 1, sign });
    assert.ok(existsSync(join(repo.path, 'summary.sig')));
    // Debian's stock ostree knows no ed25519.
    const name = `${at(commits, 1)}-${at(commits, 2)}`;
    const words = ['static-delta', 'verify', `--repo=${repo.path}`, '--sign-type=ed25519', name, publicKey];
    execFileSync(join(import.meta.dirname, '../../bin/ostree'), words, { stdio: 'pipe' });
    await retain(repo, { retention: { keepLast: 1 }, sign });
    assert.ok(existsSync(join(repo.path, 'summary.sig')), 'still signed');
    await retain(repo, { retention: { keepLast: 1 } });
    assert.ok(existsSync(join(repo.path, 'summary.sig')), 'and without keys, when nothing goes');
  });

  test('a graph that is none', async () => {
    const { repo } = await publisher(1);
    writeFileSync(join(repo.path, 'atomic-graph.json'), '{"streams": {"a": [{"commit": "x"}]}}');
    assert.throws(() => readGraph(repo), /atomic-graph\.json: 'streams\.a\.0\.commit' is not what a graph has/);
    writeFileSync(join(repo.path, 'atomic-graph.json'), '{');
    await assert.rejects(promote(repo, { from: CONTINUOUS, to: STABLE }), /is no JSON/);
    assert.ok(readFileSync(join(repo.path, 'atomic-graph.json')).length === 1);
  });
});

function ed25519(): { publicKey: string; sign: SignRequest } {
  const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const pem = join(scratch, 'key.pem');
  openssl('genpkey', '-algorithm', 'ed25519', '-out', pem);
  const seed = openssl('pkey', '-in', pem, '-outform', 'DER').subarray(-32);
  const key = openssl('pkey', '-in', pem, '-pubout', '-outform', 'DER').subarray(-32);
  return {
    publicKey: key.toString('base64'),
    sign: { type: 'ed25519', secrets: [Buffer.concat([seed, key]).toString('base64')] },
  };
}
