import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  commitTree,
  pull,
  Repo,
  remoteAdd,
  serveFolder,
  signCommit,
  updateSummary,
  type Variant,
} from '@atomic/ostree';
import {
  type Announcer,
  automaticUpdatesLine,
  availableUpdate,
  changeLayers,
  clearBad,
  deploy,
  finalizeStaged,
  holdUpdates,
  initStateroot,
  initSysroot,
  lastCheckHealth,
  makeOrigin,
  markBad,
  releaseUpdates,
  rollback,
  runUpdates,
  Sysroot,
  setUpdates,
  type UpdatesOptions,
  updateFromDrive,
  updateNow,
  updatesLines,
  upgrade,
  viewUpdates,
} from '@atomic/sysroot';
import { FakeLayers } from './fake-layers.ts';

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const skip =
  process.getuid?.() !== 0 ? 'needs root (owners, deployments)' : has('ostree') ? false : 'needs stock ostree';
const scratch = mkdtempSync(join(tmpdir(), 'atomic-updates-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const stock = (...args: string[]) =>
  execFileSync('ostree', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

const REF = 'os/main';
const COLLECTION = 'org.example.Os';
const HOUR = 3600;
/** Commits are made from here on; a Saturday noon, UTC. */
const START = Date.parse('2026-11-21T12:00Z') / 1000;
let secret: string;
let publicKey: string;
let serial = 0;

/** The publisher's side: a repository that is served. */
class Publisher {
  readonly repo: Repo;
  constructor() {
    this.repo = Repo.create(join(scratch, `server-${++serial}`), { mode: 'archive', collectionId: COLLECTION });
  }

  /** Publishes a version, `hours` after the start. */
  async publish(version: string, hours: number, metadata: Record<string, Variant> = {}): Promise<string> {
    const tree = join(scratch, `tree-${++serial}`);
    const put = (path: string, text: string) => {
      mkdirSync(join(tree, path, '..'), { recursive: true });
      writeFileSync(join(tree, path), text);
    };
    for (const name of ['sysroot', 'var', 'boot']) mkdirSync(join(tree, name), { recursive: true });
    put('usr/lib/os-release', 'ID=test\nPRETTY_NAME="Test OS"\n');
    put('usr/lib/modules/6.1/vmlinuz', `kernel`);
    put('usr/lib/modules/6.1/initramfs.img', `initramfs`);
    put('usr/share/version', version);
    put('usr/lib/systemd/system/atomic-update.timer', '[Timer]\n');
    put('usr/etc/hostname', 'default\n');
    const { commit } = await commitTree(this.repo, {
      trees: [{ dir: tree }],
      branch: REF,
      timestamp: START + hours * HOUR,
      metadata: new Map([
        ['version', { type: 's', value: version }],
        ['ostree.ref-binding', { type: 'as', value: [REF] }],
        ['ostree.collection-binding', { type: 's', value: COLLECTION }],
        ...Object.entries(metadata),
      ]),
    });
    // Debian's stock ostree was built without this kind of signature.
    await signCommit(this.repo, commit, { type: 'ed25519', secrets: [secret] });
    await updateSummary(this.repo);
    return commit;
  }
}

const text = (value: string): Variant => ({ type: 's', value });

/** A machine that runs a version of the publisher's branch; it reboots when the test says so. */
class Machine {
  readonly disk: Sysroot;
  sysroot: Sysroot;
  now = START + 10 * HOUR;
  #boot = 0;
  readonly said: string[] = [];
  readonly reboots: { minutes: number; force: boolean }[] = [];
  people: string[] = [];
  inhibitors: string[] = [];
  readonly #announcer: Announcer = {
    tell: async (message) => {
      this.said.push(message);
    },
    reboot: async ({ minutes, force }) => {
      this.reboots.push({ minutes, force });
      if (minutes > 0) {
        mkdirSync(join(this.sysroot.run, 'systemd/shutdown'), { recursive: true });
        writeFileSync(join(this.sysroot.run, 'systemd/shutdown/scheduled'), '');
      }
    },
    callOff: async () => rmSync(join(this.sysroot.run, 'systemd/shutdown/scheduled')),
  };

  private constructor(disk: Sysroot) {
    this.disk = disk;
    this.sysroot = disk;
  }

  static async install(publisher: Publisher, port: number | null): Promise<Machine> {
    const disk = initSysroot(join(scratch, `sysroot-${++serial}`), { mutableDeployments: true });
    initStateroot(disk, 'test');
    const url = port === null ? `file://${publisher.repo.path}` : `http://127.0.0.1:${port}/`;
    remoteAdd(disk.repo, 'origin', url, {
      options: {
        'gpg-verify': 'false',
        'sign-verify': 'true',
        'verification-ed25519-key': publicKey,
        'collection-id': COLLECTION,
      },
    });
    const machine = new Machine(Sysroot.open(disk.path, { mutableDeployments: true }));
    const { commits } = await pull(machine.disk.repo, { remote: 'origin', refs: [REF] });
    const rev = commits.get(REF) ?? '';
    await deploy(machine.disk, { os: 'test', rev, origin: makeOrigin(`origin:${REF}`) });
    machine.boot();
    writeFileSync(join(machine.sysroot.root, 'etc/machine-id'), `${'0'.repeat(31)}${serial % 10}\n`);
    return machine;
  }

  /** Starts what boots first now. */
  boot(): void {
    const [first] = Sysroot.open(this.disk.path).load().deployments;
    assert.ok(first !== undefined);
    const run = join(scratch, `run-${++serial}`);
    mkdirSync(run);
    writeFileSync(join(run, 'ostree-booted'), '');
    this.#boot++;
    this.sysroot = Sysroot.open(this.disk.path, {
      root: join(this.disk.path, first.path),
      run,
      mutableDeployments: true,
      system: { startUnit: async () => {}, reboot: async () => {} },
    });
  }

  /** Shuts down, switching to what is staged, and starts. */
  async reboot(): Promise<void> {
    await finalizeStaged(this.sysroot);
    this.boot();
  }

  get options(): UpdatesOptions {
    return {
      clock: () => this.now,
      announcer: this.#announcer,
      around: { bus: this.#bus, online: true, bootId: `boot-${this.#boot}` },
      connect: { retries: 0 },
    };
  }

  /** What logind says, in busctl's JSON. */
  readonly #bus = async (args: readonly string[]): Promise<string> => {
    if (args.includes('ListSessions')) {
      const rows = this.people.map((who, at) => [`${at}`, 1000 + at, who, 'seat0', `/session/${at}`]);
      return JSON.stringify({ type: 'a(susso)', data: [rows] });
    }
    if (args.includes('ListInhibitors')) {
      const rows = this.inhibitors.map((who) => ['shutdown:sleep', who, 'busy', 'block', 0, 1]);
      return JSON.stringify({ type: 'a(ssssuu)', data: [rows] });
    }
    if (args.includes('Metered')) return JSON.stringify({ type: 'u', data: 4 });
    return ['user', 'active', 'tty', 'tty1'].map((data) => JSON.stringify({ type: 's', data })).join('\n');
  };

  set(...settings: string[]): void {
    setUpdates(this.sysroot, settings);
  }
  run() {
    return runUpdates(this.sysroot, this.options);
  }
  view() {
    return viewUpdates(this.sysroot, this.options);
  }
  /** Versions in boot order; the one that runs with a star. */
  get versions(): string[] {
    return this.sysroot.load().deployments.map(({ version, booted }) => `${version}${booted ? '*' : ''}`);
  }
}

const did = (run: Awaited<ReturnType<typeof runUpdates>>) => run.steps.map((step) => step.did);

describe('automatic updates', { skip }, () => {
  before(async () => {
    const { generateKeyPairSync } = await import('node:crypto');
    const pair = generateKeyPairSync('ed25519');
    const seed = pair.privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32);
    const point = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
    secret = Buffer.concat([seed, point]).toString('base64');
    publicKey = point.toString('base64');
  });

  test('what is layered goes along; where it does not fit, the machine stays, says it, and tries ever less often', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    await using server = await serveFolder(publisher.repo.path);
    const machine = await Machine.install(publisher, server.port);
    const layers = async () => new FakeLayers({ vim: { version: '9' }, third: { version: '1', conflicts: ['3'] } });
    const run = () => runUpdates(machine.sysroot, { ...machine.options, layers });
    await changeLayers(machine.sysroot, { install: ['vim', 'third'] }, { layers });
    await machine.reboot();
    machine.set('policy=stage');
    assert.deepEqual(did(await run()), ['check']);
    const v2 = await publisher.publish('2', 1);
    machine.now += 7 * HOUR;
    assert.deepEqual(did(await run()), ['check', 'stage']);
    assert.equal(machine.sysroot.load().staged?.base, v2);
    await machine.reboot();
    assert.deepEqual(did(await run()), ['check'], 'the base that runs is the newest');

    await publisher.publish('3', 2);
    machine.now += 7 * HOUR;
    const motd = join(machine.sysroot.run, 'motd.d/86-atomic-layers');
    let tries = 0;
    for (let minutes = 0; minutes < 12 * 60; minutes += 10) {
      const { steps } = await run();
      tries += steps.filter(({ did, error }) => did === 'stage' && error !== undefined).length;
      machine.now += 600;
    }
    assert.ok(tries >= 2 && tries <= 10, `${tries} tries in 12 hours`);
    assert.equal(machine.sysroot.load().staged, null);
    assert.match(updatesLines(await machine.view()).join('\n'), /Layers: +stuck since .* before 3, because third :/);
    assert.match(updatesLines(await machine.view()).join('\n'), /without: atomic host upgrade --uninstall=third/);
    assert.match(readFileSync(motd, 'utf8'), /Updates are stuck since/);
    await upgrade(machine.sysroot, { layers, edits: { uninstall: ['third'] } });
    assert.equal(existsSync(motd), false);
    await machine.reboot();
    assert.deepEqual(machine.versions, ['3*', '2']);
    assert.equal(machine.sysroot.load().booted?.origin?.get('packages', 'requested'), 'vim;');
  });

  test('check tells, stage stages, apply reboots; then it is at rest', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    await using server = await serveFolder(publisher.repo.path);
    const machine = await Machine.install(publisher, server.port);
    assert.deepEqual(machine.versions, ['1*']);
    assert.equal(lastCheckHealth(machine.sysroot, 'test', machine.now)?.state, 'ok');

    mkdirSync(join(machine.sysroot.root, 'etc/systemd/system'), { recursive: true });
    const mask = join(machine.sysroot.root, 'etc/systemd/system/atomic-update.timer');
    symlinkSync('/dev/null', mask);
    assert.match(updatesLines(await machine.view()).join('\n'), /nothing of this happens by itself: .* is masked/);
    assert.equal(lastCheckHealth(machine.sysroot, 'test', machine.now), null);
    rmSync(mask);

    machine.set('policy=none');
    assert.deepEqual(did(await machine.run()), []);
    assert.equal(automaticUpdatesLine(machine.sysroot, 'test', machine.now), null);
    machine.set('policy=check');
    assert.deepEqual(did(await machine.run()), ['check']);
    assert.deepEqual(did(await machine.run()), [], 'not again so soon');

    const v2 = await publisher.publish('2', 1);
    machine.now += 7 * HOUR;
    assert.deepEqual(did(await machine.run()), ['check']);
    assert.equal(availableUpdate(machine.sysroot, 'test')?.checksum, v2);
    assert.deepEqual(machine.versions, ['1*'], 'looked, and left all as it was');
    assert.equal(machine.sysroot.repo.commitState(v2), 'partial', 'only the commit was fetched');
    assert.match(
      automaticUpdatesLine(machine.sysroot, 'test', machine.now + 600) ?? '',
      /^AutomaticUpdates: check; atomic-update\.timer: last run 10min ago$/,
    );

    machine.set('policy=stage');
    assert.deepEqual(did(await machine.run()), ['stage']);
    assert.deepEqual(machine.versions, ['2', '1*']);
    assert.equal(machine.sysroot.load().deployments[0]?.origin?.get('origin', 'override-commit'), undefined);
    assert.deepEqual(did(await machine.run()), [], 'the reboot is left to people');

    machine.set('policy=apply');
    const applied = await machine.run();
    assert.deepEqual(did(applied), ['reboot']);
    assert.deepEqual(machine.reboots, [{ minutes: 0, force: false }]);
    await machine.reboot();
    assert.deepEqual(machine.versions, ['2*', '1']);
    assert.deepEqual(did(await machine.run()), ['check'], 'another version runs');
    assert.deepEqual(did(await machine.run()), []);
    const shown = updatesLines(await machine.view()).join('\n');
    assert.match(shown, /Policy: +apply/);
    assert.match(shown, /Reboot: +not by itself: nothing newer is known/);
  });

  test('people are asked to go, warned, and then not waited for; one of them may call it off', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    const machine = await Machine.install(publisher, null);
    await publisher.publish('2', 1);
    machine.set('policy=apply', 'max-wait=1h', 'grace=5min');
    machine.people = ['ann'];
    machine.inhibitors = ['backup'];
    assert.deepEqual(did(await machine.run()), ['check', 'stage', 'announce']);
    assert.match(machine.said[0] ?? '', /as soon as nobody is logged in.*At Sat 2026-11-21 23:00 UTC/);
    const { decision } = await machine.view();
    assert.deepEqual(
      decision.because.filter(({ until }) => until !== null).map(({ text: why }) => why),
      ['ann on tty1 is logged in', 'held off by backup (busy)'],
    );
    assert.match(updatesLines(await machine.view()).join('\n'), /at the latest Sat 2026-11-21 23:00 UTC \(in 1h\)/);
    machine.now += 50 * 60;
    assert.deepEqual(did(await machine.run()), []);
    machine.now += 6 * 60;
    assert.deepEqual(did(await machine.run()), ['reboot']);
    assert.deepEqual(machine.reboots, [{ minutes: 5, force: true }]);
    machine.now += 60;
    assert.deepEqual(did(await machine.run()), [], 'announced already');
    assert.ok((await machine.view()).decision.because.some(({ code }) => code === 'scheduled'));

    rmSync(join(machine.sysroot.run, 'systemd/shutdown/scheduled'));
    machine.now += 6 * 60;
    const later = await machine.run();
    assert.deepEqual(did(later), []);
    assert.ok(later.decision.because.some(({ code }) => code === 'called-off'));
    machine.now += 24 * HOUR;
    assert.deepEqual(did(await machine.run()).at(-1), 'reboot');

    // A hold calls off what was announced.
    await holdUpdates(machine.sysroot, { until: machine.now + HOUR, why: 'the fair' }, machine.options);
    assert.ok(!existsSync(join(machine.sysroot.run, 'systemd/shutdown/scheduled')));
    assert.deepEqual(
      (await machine.run()).decision.because.map(({ text: why }) => why),
      ['updates are held: the fair'],
    );
    await releaseUpdates(machine.sysroot);
    machine.people = [];
    machine.inhibitors = [];
    assert.deepEqual(did(await machine.run()).at(-1), 'reboot');
    assert.deepEqual(machine.reboots.at(-1), { minutes: 0, force: false });
  });

  test('windows: staged at any time, switched to in one', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    const machine = await Machine.install(publisher, null);
    await publisher.publish('2', 1);
    machine.set('policy=apply', 'window.night=sun 03:00 2h Europe/Berlin');
    const waiting = await machine.run();
    assert.deepEqual(did(waiting), ['check', 'stage']);
    assert.match(updatesLines(waiting).join('\n'), /Reboot: +into 2 .*not before Sun 2026-11-22 02:00 UTC/);
    machine.now = Date.parse('2026-11-22T01:59Z') / 1000;
    assert.deepEqual(did(await machine.run()), []);
    machine.now += 120;
    assert.deepEqual(did(await machine.run()), ['reboot']);
  });

  test('barriers, roll-outs and pauses: each host passes through what it must, when it may', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    await using server = await serveFolder(publisher.repo.path);
    const machine = await Machine.install(publisher, server.port);
    await publisher.publish('2', 1);
    await publisher.publish('3', 2, { 'atomic.barrier': { type: 'b', value: true } });
    await publisher.publish('4', 3);
    const v5 = await publisher.publish('5', 4, { 'atomic.rollout': text('start=2026-11-25T00:00Z duration=2d') });
    machine.set('policy=apply', 'wariness=0.5');
    assert.deepEqual(did(await machine.run()), ['check', 'stage', 'reboot']);
    assert.deepEqual(machine.versions, ['3', '1*']);
    await machine.reboot();
    const onward = await machine.run();
    assert.deepEqual(did(onward), ['check', 'stage', 'reboot']);
    assert.deepEqual(machine.versions, ['4', '3*', '1']);
    await machine.reboot();
    const waiting = await machine.run();
    assert.deepEqual(did(waiting), ['check']);
    const reason = waiting.decision.because.find(({ code }) => code === 'rollout');
    assert.equal(reason?.until, Date.parse('2026-11-26T00:00Z') / 1000);
    // The publisher pauses it in the summary, by stock's own means; then goes on.
    const summary = (...args: string[]) => stock('summary', '-u', `--repo=${publisher.repo.path}`, ...args);
    summary('-m', `atomic.rollout.${v5}="paused"`);
    machine.now = Date.parse('2026-11-27T00:00Z') / 1000;
    const paused = await machine.run();
    assert.deepEqual(did(paused), ['check']);
    assert.ok(paused.decision.because.some(({ code }) => code === 'paused'));
    summary();
    machine.now += 7 * HOUR;
    assert.deepEqual(did(await machine.run()), ['check', 'stage', 'reboot']);
    assert.equal(machine.versions[0], '5');
  });

  test('a barrier far back is found; where the server has no history left, the newest is taken', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    await using server = await serveFolder(publisher.repo.path);
    const machine = await Machine.install(publisher, server.port);
    const cut = await Machine.install(publisher, server.port);
    const barrier = await publisher.publish('2', 0.1, { 'atomic.barrier': { type: 'b', value: true } });
    for (let at = 3; at <= 14; at++) await publisher.publish(`${at}`, at / 10);
    for (const one of [machine, cut]) one.set('policy=stage');
    assert.deepEqual(did(await machine.run()), ['check', 'stage']);
    assert.deepEqual(machine.versions, ['2', '1*']);
    stock('prune', `--repo=${publisher.repo.path}`, '--refs-only', '--depth=3');
    assert.equal(publisher.repo.hasObject('commit', barrier), false);
    assert.deepEqual(did(await cut.run()), ['check', 'stage']);
    assert.deepEqual(cut.versions, ['14', '1*']);
  });

  test('a version that failed here, or that somebody went back from, is not taken again; a newer one is', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    const machine = await Machine.install(publisher, null);
    machine.set('policy=apply');
    const v2 = await publisher.publish('2', 1);
    await markBad(machine.sysroot, 'test', { checksum: v2, reason: 'no light', when: '', by: 'health' });
    const refused = await machine.run();
    assert.deepEqual(did(refused), ['check']);
    assert.match(updatesLines(refused).join('\n'), /2 \(\w+\) failed here: no light/);
    assert.deepEqual(did(await updateNow(machine.sysroot, machine.options)), ['check'], 'not by `now` either');

    const v3 = await publisher.publish('3', 2);
    machine.now += 7 * HOUR;
    assert.deepEqual(did(await machine.run()), ['check', 'stage', 'reboot']);
    await machine.reboot();
    assert.deepEqual(machine.versions, ['3*', '1']);
    await machine.run();
    await rollback(machine.sysroot);
    assert.deepEqual(did(await machine.run()), [], 'the rollback is not undone while it waits for its reboot');
    await machine.reboot();
    assert.deepEqual(machine.versions, ['1*', '3']);
    const back = await machine.run();
    assert.deepEqual(did(back), ['check']);
    assert.ok(back.decision.because.some(({ code }) => code === 'left'));
    // The checks may find it bad too; once somebody clears it, it is taken like any other.
    await markBad(machine.sysroot, 'test', { checksum: v3, reason: 'no sound', when: '', by: 'health' });
    await clearBad(machine.sysroot, 'test', v3);
    assert.deepEqual(did(await machine.run()), ['stage', 'reboot']);
    assert.equal(machine.versions[0], '3');
    await publisher.publish('4', 3);
    machine.now += 7 * HOUR;
    assert.deepEqual(did(await machine.run()), ['check', 'stage', 'reboot']);
    assert.equal(machine.versions[0], '4');
  });

  test('a server that is gone: asked ever more rarely, told of, and a reboot that does not help is not repeated', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    const server = await serveFolder(publisher.repo.path);
    const machine = await Machine.install(publisher, server.port);
    machine.set('policy=apply', 'stale-after=2d');
    await machine.run();
    await server[Symbol.asyncDispose]();
    machine.now += 7 * HOUR;
    let looks = 0;
    for (let minutes = 0; minutes < 24 * 60; minutes += 10) {
      const { steps } = await machine.run();
      looks += steps.filter(({ error }) => error !== undefined).length;
      machine.now += 600;
    }
    // Five minutes, ten, twenty… to six hours.
    assert.ok(looks >= 7 && looks <= 12, `${looks} looks in a day`);
    assert.equal(lastCheckHealth(machine.sysroot, 'test', machine.now)?.state, 'ok');
    const stale = lastCheckHealth(machine.sysroot, 'test', machine.now + 86_400);
    assert.equal(stale?.state, 'failed');
    assert.match(stale?.message ?? '', /^last looked at the server 2d 7h ago: /);

    await publisher.publish('2', 1);
    await using again = await serveFolder(publisher.repo.path);
    machine.sysroot.repo.config.set('remote "origin"', 'url', `http://127.0.0.1:${again.port}/`);
    machine.sysroot.repo.saveConfig();
    machine.boot();
    machine.now += 12 * HOUR;
    assert.deepEqual(did(await machine.run()), ['check', 'stage', 'reboot']);
    for (let tries = 0; tries < 6; tries++) {
      // Power goes before the switch: the old version comes up, and what was staged is gone.
      machine.boot();
      await machine.run();
    }
    assert.equal(machine.reboots.length, 3);
    assert.ok((await machine.view()).decision.because.some(({ code }) => code === 'not-taken'));
  });

  test('settings that make no sense stop updates, and nothing else; a broken memory is begun anew', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    const machine = await Machine.install(publisher, null);
    assert.throws(() => machine.set('policy=apply', 'window.night=at noon'), { code: 'invalid' });
    assert.throws(() => machine.set('polcy=apply'), { code: 'usage' });
    const own = join(machine.sysroot.root, 'etc/atomic/updates.d/90-local.conf');
    assert.ok(!existsSync(own), 'nothing is written unless all of it makes sense');
    machine.set('policy=apply', 'window.night=02:00 3h');
    const tree = join(machine.sysroot.root, 'etc/atomic/updates.d/95-later.conf');
    writeFileSync(tree, '[Updates]\nPolicy=sometimes\n');
    await assert.rejects(machine.run(), /95-later\.conf: Policy is 'sometimes'/);
    assert.match(automaticUpdatesLine(machine.sysroot, 'test') ?? '', /95-later\.conf/);
    assert.equal(lastCheckHealth(machine.sysroot, 'test')?.state, 'failed');
    writeFileSync(tree, '[Updates]\nColour=green\n[Windows]\nnight=\n');
    const { config } = await machine.view();
    assert.deepEqual([config.policy, config.windows.length, config.warnings.length], ['apply', 0, 1]);

    const memory = join(machine.disk.path, 'ostree/deploy/test/var/lib/atomic/updates.json');
    await machine.run();
    for (const broken of [
      '',
      '{',
      '[]',
      'null',
      '{"checked":"yesterday","candidates":[{}],"hold":7}',
      '\0'.repeat(100),
    ]) {
      writeFileSync(memory, broken);
      machine.now += 60;
      assert.deepEqual(did(await machine.run()), ['check'], broken);
    }
  });

  test('the command: shown, set, held, released, run', async () => {
    const publisher = new Publisher();
    await publisher.publish('1', 0);
    const machine = await Machine.install(publisher, null);
    await publisher.publish('2', 1);
    const env = { ...process.env, OSTREE_SYSROOT_DEBUG: 'mutable-deployments' };
    const atomic = (...args: string[]) =>
      spawnSync('bin/atomic', ['--quiet', ...args, `--sysroot=${machine.disk.path}`], { encoding: 'utf8', env });
    const updates = (...args: string[]) => atomic('host', 'updates', ...args).stdout;
    assert.match(updates(), /^Policy: {5}check\nReboot: {5}not by itself: policy check\n/);
    assert.match(updates('set', 'policy=stage'), /^Wrote .*\/etc\/atomic\/updates\.d\/90-local\.conf$/m);
    assert.match(updates('hold', '--until=2d', 'the', 'fair'), /^Held until .*: the fair$/m);
    assert.match(updates('run'), /^- updates are held: the fair$/m);
    assert.equal(atomic('host', 'updates', 'hold', '--until=whenever').status, 1);
    assert.equal(updates('release'), 'Updates go on\n');
    assert.match(updates('run'), /has 2 .*\nfetched and staged 2 /);
    const shown: unknown = JSON.parse(updates('--json'));
    assert.ok(shown !== null && typeof shown === 'object' && 'policy' in shown && shown.policy === 'stage');
    assert.match(atomic('host', 'status').stdout, /^AutomaticUpdates: stage; atomic-update\.timer: last run /m);
    assert.match(atomic('host', 'updates', 'drive').stderr, /name the folder a drive is mounted on/);
  });

  describe('from a drive', () => {
    const drive = () => {
      const path = join(scratch, `drive-${++serial}`);
      mkdirSync(path);
      return path;
    };
    const usb = (publisher: Publisher, path: string) =>
      stock('create-usb', `--repo=${publisher.repo.path}`, path, COLLECTION, REF);

    test('made by stock create-usb: by hand, and by itself when it is plugged in', async () => {
      const publisher = new Publisher();
      await publisher.publish('1', 0);
      const machine = await Machine.install(publisher, null);
      await publisher.publish('2', 1);
      const path = drive();
      usb(publisher, path);
      rmSync(publisher.repo.path, { recursive: true });

      const refused = await updateFromDrive(machine.sysroot, { path }, machine.options);
      assert.deepEqual([refused.staged, refused.because[0]?.code], [false, 'policy'], 'not unless asked for');
      machine.set('usb=yes', 'policy=stage');
      assert.equal((await upgrade(machine.sysroot, { check: true, from: path })).to.version, '2');
      assert.deepEqual(machine.versions, ['1*']);
      assert.equal((await updateFromDrive(machine.sysroot, { path }, machine.options)).staged, true);
      assert.deepEqual(machine.versions, ['2', '1*']);
      assert.equal((await updateFromDrive(machine.sysroot, { path }, machine.options)).because[0]?.code, 'up-to-date');
      await machine.reboot();
      assert.deepEqual(machine.versions, ['2*', '1']);
      stock('fsck', `--repo=${machine.disk.layout.repo}`);
    });

    test('by its device, mounted for as long as it is looked at, and not at all where that is not wanted', async (t) => {
      const publisher = new Publisher();
      await publisher.publish('1', 0);
      const machine = await Machine.install(publisher, null);
      await publisher.publish('2', 1);
      const path = drive();
      usb(publisher, path);
      const device = join(scratch, 'drive.ext4');
      execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', path, device, '32m'], { stdio: ['ignore', 'ignore', 'pipe'] });
      const probe = spawnSync('mount', ['-o', 'ro', device, drive()], { encoding: 'utf8' });
      if (probe.status !== 0) return t.skip(`images cannot be mounted here: ${probe.stderr.trim()}`);
      execFileSync('umount', [join(scratch, `drive-${serial}`)]);
      const nowhere = join(scratch, 'no-such-device');
      const unwanted = await updateFromDrive(machine.sysroot, { device: nowhere }, machine.options);
      assert.equal(unwanted.because[0]?.code, 'policy', 'not even touched');
      machine.set('usb=yes', 'policy=stage');
      assert.equal((await updateFromDrive(machine.sysroot, { device }, machine.options)).staged, true);
      assert.deepEqual(machine.versions, ['2', '1*']);
      const folder = join(machine.sysroot.run, 'atomic');
      assert.deepEqual(readdirSync(folder), [], 'unmounted again');
      await assert.rejects(updateFromDrive(machine.sysroot, { device: nowhere }, machine.options), { code: 'failed' });
      assert.deepEqual(readdirSync(folder), []);
    });

    test('what the server would not get past the checks, a drive does not either', async () => {
      const publisher = new Publisher();
      await publisher.publish('1', 0);
      const machine = await Machine.install(publisher, null);
      machine.set('usb=yes', 'policy=apply');
      const before = machine.sysroot.repo.readRef(`origin:${REF}`);
      const refuses = async (path: string, expected: RegExp) => {
        await assert.rejects(updateFromDrive(machine.sysroot, { path }, machine.options), expected);
        await assert.rejects(upgrade(machine.sysroot, { from: path }), expected);
        assert.deepEqual(machine.versions, ['1*']);
        assert.equal(machine.sysroot.repo.readRef(`origin:${REF}`), before);
      };
      // Signed by somebody else.
      const honest = secret;
      const stranger = new Publisher();
      secret = Buffer.concat([Buffer.alloc(32, 7), Buffer.from(publicKey, 'base64')]).toString('base64');
      await stranger.publish('9', 9);
      secret = honest;
      const forged = drive();
      usb(stranger, forged);
      await refuses(forged, /Can't verify commit/);
      // A good signature, of another collection's commit.
      const other = new Publisher();
      await other.publish('8', 8, { 'ostree.collection-binding': text('org.example.Other') });
      const foreign = drive();
      // Stock would not write such a drive; somebody else may.
      cpSync(other.repo.path, join(foreign, '.ostree/repo'), { recursive: true });
      await refuses(foreign, /collection ID ‘org.example.Other’/);
      // Damaged content under a good signature.
      const v2 = await publisher.publish('2', 1);
      const damaged = drive();
      usb(publisher, damaged);
      const repo = join(damaged, '.ostree/repo');
      const victim = stock('ls', `--repo=${repo}`, '-C', v2, '/usr/share/version').split(/\s+/)[4];
      assert.ok(victim !== undefined);
      const object = join(repo, 'objects', victim.slice(0, 2), `${victim.slice(2)}.filez`);
      const bytes = readFileSync(object);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 3) ^ 1, bytes.length - 3);
      writeFileSync(object, bytes);
      await refuses(damaged, /Corrupted|corrupt|checksum|invalid/i);
      // Nothing there at all.
      assert.equal(
        (await updateFromDrive(machine.sysroot, { path: drive() }, machine.options)).because[0]?.code,
        'up-to-date',
      );
      await assert.rejects(upgrade(machine.sysroot, { from: drive() }), { code: 'not-found' });
    });

    test('a remote without signatures: by hand only', async () => {
      const publisher = new Publisher();
      await publisher.publish('1', 0);
      const machine = await Machine.install(publisher, null);
      machine.set('usb=yes', 'policy=stage');
      const config = machine.sysroot.repo.config;
      config.removeKey('remote "origin"', 'sign-verify');
      machine.sysroot.repo.saveConfig();
      await publisher.publish('2', 1);
      const path = drive();
      usb(publisher, path);
      machine.boot();
      await assert.rejects(updateFromDrive(machine.sysroot, { path }, machine.options), /has no signatures to check/);
      assert.equal((await upgrade(machine.sysroot, { from: path })).to.version, '2');
      const strict = Sysroot.open(machine.disk.path, { mutableDeployments: true });
      strict.repo.config.set('remote "origin"', 'gpg-verify-summary', 'true');
      await assert.rejects(upgrade(strict, { from: path }), /only signs its summary/);
    });
  });
});
