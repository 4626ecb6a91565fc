// The watch service with machines for its smoke test, whole: a new package in a repository is composed into a tree, booted,
// published to the stream and told of; a version that does not come up is not published, and that is told of too.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Repo, readFileAt } from '@atomic/ostree';
import { z } from 'zod';
import { ROOT } from '../../demo/host.ts';
import { AptRepo, missingForApt } from '../interop/apt-repo.ts';
import { skip } from './lab.ts';
import { cachedir, stateFolder } from './setup.ts';

const whyNot =
  skip || missingForApt() || (process.env['IMAGES_MACHINE'] === undefined ? 'takes minutes: make images-test' : false);

const REF = 'os/amd64/continuous';
const Event = z.object({
  event: z.string(),
  ref: z.string(),
  commit: z.string(),
  before: z.string().nullish(),
  deltas: z.number().optional(),
  step: z.string().optional(),
  reason: z.string().optional(),
  details: z.string().optional(),
});

/** A unit of the package, which the boot waits for. */
const unit = (program: string): string => `[Unit]
Before=systemd-user-sessions.service
FailureAction=poweroff-force
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${program}
[Install]
WantedBy=multi-user.target
`;

describe('the watch service tries commits in machines', { skip: whyNot, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let work = '';
  let apt: AptRepo;
  let repo: Repo;
  let service: ChildProcess;
  let said = '';
  const add = (version: string, program: string): void => {
    const files = { '/usr/lib/systemd/system/app.service': unit(program), '/usr/share/app/version': `${version}\n` };
    apt.add({ name: 'app', version, files });
    apt.publish();
  };
  const told = (): z.infer<typeof Event>[] => {
    const path = join(work, 'told');
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
    return lines.map((line) => Event.parse(JSON.parse(line)));
  };
  /** The n-th thing the service tells of. */
  const event = async (n: number): Promise<z.infer<typeof Event>> => {
    for (;;) {
      const found = told()[n];
      if (found !== undefined) return found;
      assert.equal(service.exitCode, null, `the service ended: ${said}`);
      await sleep(500);
    }
  };
  const versionOf = (commit: string): string => readFileAt(repo, commit, '/usr/share/app/version').toString().trim();

  before(() => {
    mkdirSync(stateFolder('watch'), { recursive: true });
    work = mkdtempSync(join(stateFolder('watch'), 'run-'));
    apt = new AptRepo(join(work, 'apt'));
    repo = Repo.create(join(work, 'repo'), { mode: 'archive' });
    writeFileSync(
      join(work, 'tree.yaml'),
      `include: ${join(ROOT, 'examples/debian-minimal.yaml')}
ref: ${REF}
repos: ["${apt.line}"]
packages: [app]
units: [app.service]
automatic-version-prefix: "1"
`,
    );
    const notify = join(work, 'notify');
    writeFileSync(notify, `#!/bin/sh\ncat >> ${join(work, 'told')}\n`);
    chmodSync(notify, 0o755);
    writeFileSync(
      join(work, 'watch.yaml'),
      `repo: repo
treefile: tree.yaml
cachedir: ${cachedir}
interval: 2s
deltas: 1
smoke-test:
  vm: { size: 3G, timeout: 10min }
notify: [${notify}]
`,
    );
    add('1.0', '/bin/true');
    const program = join(ROOT, 'bin/atomic');
    service = spawn(program, ['compose', 'watch', '--json', join(work, 'watch.yaml')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [service.stdout, service.stderr])
      stream?.on('data', (chunk: Buffer) => {
        said = (said + chunk.toString()).slice(-4000);
      });
  });
  after(async () => {
    const ended = new Promise((done) => service?.once('exit', done));
    if (service?.exitCode === null) {
      service.kill('SIGTERM');
      await ended;
    }
    if (process.env['ATOMIC_KEEP'] === undefined) rmSync(work, { recursive: true, force: true });
  });

  test('a new package is composed, booted and published', async () => {
    const first = await event(0);
    assert.equal(first.event, 'published', first.reason);
    assert.equal(repo.readRef(REF), first.commit);
    assert.equal(versionOf(first.commit), '1.0');
    assert.ok(existsSync(join(repo.path, 'summary')));
  });

  test('a version that does not come up is not published, and its console is told of', async () => {
    const good = repo.readRef(REF);
    add('2.0', '/bin/false');
    const failed = await event(1);
    assert.equal(failed.event, 'failed');
    assert.equal(failed.step, 'smoke-test');
    assert.equal(versionOf(failed.commit), '2.0');
    assert.match(failed.reason ?? '', /the machine stopped before its console showed .*login/);
    assert.match(failed.details ?? '', /the console ended with:\n.*Power down/s);
    assert.equal(repo.readRef(REF), good);
    // Some looks later it has not been tried again.
    await sleep(15_000);
    assert.equal(told().length, 2);
  });

  test('the version that mends it is published, with a delta from the one before', async () => {
    const good = repo.readRef(REF);
    add('2.1', '/bin/true');
    const mended = await event(2);
    assert.equal(mended.event, 'published', mended.reason);
    assert.equal(mended.before, good);
    assert.equal(mended.deltas, 1);
    assert.equal(repo.readRef(REF), mended.commit);
    assert.equal(repo.loadCommit(mended.commit).parent, good);
    assert.equal(versionOf(mended.commit), '2.1');
  });
});
