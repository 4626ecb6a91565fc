import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  type ComposeResult,
  composeTree,
  loadTreefile,
  plan,
  readWatchConfig,
  type WatchEvent,
  watch,
  watchOnce,
} from '@atomic/compose';
import { AtomicError, commitTree, listDeltas, parseSummary, Repo, readSummary } from '@atomic/ostree';
import { AptRepo, missingForApt } from './apt-repo.ts';

const REF = 'os/continuous';
const needsRoot = process.getuid?.() === 0 ? false : 'needs root';

describe('watching a package repository', { skip: missingForApt() }, () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-watch-'));
  after(() => rmSync(work, { recursive: true, force: true }));
  const apt = new AptRepo(join(work, 'apt'));
  const repo = Repo.create(join(work, 'repo'), { mode: 'archive' });
  const log = join(work, 'log');
  const script = (name: string, text: string): string => {
    const path = join(work, name);
    writeFileSync(path, `#!/bin/sh\n${text}`);
    chmodSync(path, 0o755);
    return path;
  };
  const smoke = script(
    'smoke',
    `[ "$ATOMIC_REF" = ${REF} ] || exit 3\n[ -e ${join(work, 'broken')} ] && { echo it does not boot >&2; exit 1; }\nexit 0\n`,
  );
  const notify = script('notify', `echo "$ATOMIC_EVENT" >> ${log}\ncat >> ${log}\n`);
  writeFileSync(
    join(work, 'tree.yaml'),
    `ref: ${REF}\nsuite: none\ncontainer: true\nrepos: ["${apt.line}"]\npackages: [app]\nautomatic-version-prefix: "1"\n`,
  );
  writeFileSync(
    join(work, 'watch.yaml'),
    `repo: repo
treefile: tree.yaml
cachedir: cache
interval: 1s
deltas: 1
keep-last: 2
smoke-test: [${smoke}]
notify: [${notify}]
`,
  );
  const config = readWatchConfig(join(work, 'watch.yaml'));

  /**
   * What composeTree does, but for the installation: no root can be made of packages that hold one file each. Packages are
   * resolved by the real apt, and the commit's tree names them.
   */
  const compose = async (options: Parameters<typeof composeTree>[0]): Promise<ComposeResult> => {
    mkdirSync(options.cachedir, { recursive: true });
    const parent = repo.readRef(REF);
    const before = parent === null ? new Map() : repo.loadCommit(parent).metadata;
    const planned = await plan(options, repo, before);
    await options.onPlan?.(planned);
    const { inputHash, version, timestamp, packages } = planned;
    const result = {
      ref: REF,
      inputHash,
      version,
      timestamp,
      packages: packages.length,
      kernel: undefined,
      seconds: {},
    };
    if (parent !== null && before.get('rpmostree.inputhash')?.value === inputHash)
      return { ...result, commit: parent, parent, changed: false };
    const dir = mkdtempSync(join(work, 'tree-'));
    writeFileSync(join(dir, 'packages'), packages.map((one) => `${one.name} ${one.version}\n`).join(''));
    const metadata = new Map([['rpmostree.inputhash', { type: 's', value: inputHash }]]);
    assert.equal(options.orphan, true, 'the ref is moved by the watch alone');
    const { commit } = await commitTree(repo, { trees: [{ dir }], parent, metadata, timestamp });
    return { ...result, commit, parent, changed: true };
  };
  const offered = (): string | undefined => {
    const summary = readSummary(repo);
    return summary === null ? undefined : parseSummary(summary).refs.find(({ ref }) => ref === REF)?.commit;
  };
  const once = () => watchOnce({ config, compose });
  const told = (): string => (existsSync(log) ? readFileSync(log, 'utf8') : '');

  test('new packages are composed, tried, published and told of; nothing new is nothing', async () => {
    apt.add({ name: 'usr-is-merged', version: '1', essential: true });
    apt.add({ name: 'app', version: '1.0' });
    apt.publish();
    const first = await once();
    assert.equal(first.event, 'published');
    assert.equal(repo.readRef(REF), first.commit);
    assert.match(told(), /^published\n\{"event":"published","ref":"os\/continuous"/);
    const again = await once();
    assert.deepEqual(again, { event: 'unchanged', ref: REF, commit: first.commit });
    apt.add({ name: 'app', version: '1.1' });
    apt.publish();
    const second = await once();
    assert.equal(second.event, 'published');
    assert.ok(second.event === 'published' && second.before === first.commit && second.deltas === 1);
    assert.equal(listDeltas(repo).length, 1);
    assert.ok(existsSync(join(repo.path, 'summary')));
  });

  test('what moved the ref and could not be made known is made known at the next look, and kept in bounds', async () => {
    const before = repo.readRef(REF);
    apt.add({ name: 'app', version: '1.2' });
    apt.publish();
    const sign = { type: 'ed25519', secrets: ['no key'] };
    await assert.rejects(watchOnce({ config: { ...config, deltas: 0 }, compose, sign }));
    const moved = repo.readRef(REF);
    assert.notEqual(moved, before);
    assert.equal(offered(), before, 'hosts do not see it');
    const late = await once();
    assert.ok(late.event === 'published' && late.commit === moved && late.before === before);
    assert.equal(offered(), moved);
    assert.equal([...repo.listObjects({ only: 'commit' })].length, 2, 'keep-last: 2');
    assert.match(told(), new RegExp(`^published\\n.*${moved}`, 'm'));
    assert.equal((await once()).event, 'unchanged');
  });

  test('a compose that finds nothing new makes known what one before could not', { skip: needsRoot }, async () => {
    rmSync(join(repo.path, 'summary'));
    const options = { treefile: loadTreefile(config.treefile), repo, cachedir: config.cachedir };
    assert.equal((await composeTree({ ...options, orphan: true })).changed, false);
    assert.equal(offered(), undefined);
    const { changed, commit } = await composeTree(options);
    assert.deepEqual([changed, offered()], [false, commit]);
  });

  test('what fails its test is not published, and not tried again until something changes', async () => {
    const good = repo.readRef(REF);
    writeFileSync(join(work, 'broken'), '');
    apt.add({ name: 'app', version: '2.0' });
    apt.publish();
    const failed = await once();
    assert.ok(failed.event === 'failed' && failed.step === 'smoke-test');
    assert.match(failed.reason, /the smoke test ended with status 1: it does not boot/);
    assert.equal(repo.readRef(REF), good);
    assert.match(told(), /failed\n/);
    const length = told().length;
    assert.equal((await once()).event, 'unchanged');
    assert.equal(told().length, length, 'nobody is told twice');
    rmSync(join(work, 'broken'));
    apt.add({ name: 'app', version: '2.1' });
    apt.publish();
    assert.equal((await once()).event, 'published');
    const tip = repo.readRef(REF);
    assert.ok(tip !== null && repo.loadCommit(tip).parent === good);
    // keep-last: 2
    assert.equal([...repo.listObjects({ only: 'commit' })].length, 2);
  });

  test('packages that do not fit together fail, and the next look may do better; the service ends when it is told to', async () => {
    apt.add({ name: 'app', version: '3.0', depends: 'nosuch' });
    apt.publish();
    const before = told().length;
    const events: WatchEvent[] = [];
    const controller = new AbortController();
    const running = watch({
      config,
      compose,
      signal: controller.signal,
      onEvent: (event) => {
        events.push(event);
        if (event.event !== 'failed') controller.abort();
        else if (events.length === 2) {
          apt.add({ name: 'nosuch', version: '1' });
          apt.publish();
        }
      },
      onError: (error) => assert.fail(error),
    });
    await running;
    assert.deepEqual(
      events.map(({ event }) => event),
      ['failed', 'failed', 'published'],
    );
    const failures = told()
      .slice(before)
      .match(/^failed$/gm);
    assert.equal(failures?.length, 1, 'a failure that goes on is told once');
    assert.ok(events[0]?.event === 'failed' && /nosuch/.test(events[0].reason));
  });

  test('a long interval is waited for', async () => {
    const errors: Error[] = [];
    await watch({
      config: { ...config, interval: 30 * 86_400 },
      compose: () => Promise.reject(new Error('no luck')),
      signal: AbortSignal.timeout(500),
      onError: (error) => errors.push(error),
    });
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['no luck'],
    );
  });

  test('paths of a configuration are relative to it', () => {
    const path = join(work, 'paths.yaml');
    writeFileSync(
      path,
      'repo: repo\ntreefile: tree.yaml\nlockfiles: [lock]\ngpg-homedir: keys\nsign-from-file: [key]\n',
    );
    const read = readWatchConfig(path);
    assert.deepEqual(
      [read.repo, read.treefile, ...read.lockfiles, read['gpg-homedir'], ...read['sign-from-file']],
      ['repo', 'tree.yaml', 'lock', 'keys', 'key'].map((name) => join(work, name)),
    );
  });

  test('a configuration with a mistake', () => {
    const path = join(work, 'bad.yaml');
    for (const [text, message] of [
      ['repo: a\n', /'treefile'/],
      ['repo: a\ntreefile: b\ninterval: often\n', /'interval'/],
      ['repo: a\ntreefile: b\nsurprise: 1\n', /surprise/],
      ['repo: a\ntreefile: b\nsmoke-test: yes\n', /'smoke-test'/],
    ] as const) {
      writeFileSync(path, text);
      assert.throws(
        () => readWatchConfig(path),
        (error) => error instanceof AtomicError && message.test(error.message),
        text,
      );
    }
  });
});
