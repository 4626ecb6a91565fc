import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { findRuntime, type GeneratorRun, openImageStore, runGenerator, UnitFile, writeUnits } from '@atomic/containers';
import { openSource, parseImageReference } from '@atomic/oci';
import { freePort, lacks, makeImage, root, scratchFolder } from './lab.ts';
import { crunOfOneKind } from './system-lab.ts';

const execute = promisify(execFile);
const skip = lacks('runc', 'crun', 'busybox', 'tar', 'systemd-analyze') ?? false;
const scratch = scratchFolder('quadlet-runc');
const state = join(scratch.path, 'containers');
const IMAGE = 'localhost/web:1';
const environment = { ...process.env, ATOMIC_VAR_LIB: scratch.path, ATOMIC_OSTREE_REPO: join(scratch.path, 'none') };

const services: Service[] = [];
after(async () => {
  for (const service of services) await service.end();
  scratch[Symbol.dispose]();
});

before(async () => {
  if (skip !== false) return;
  const layout = join(scratch.path, 'layout');
  await makeImage(layout, 'x', {
    env: ['PATH=/bin', 'FROM=image', 'GREETING=image'],
    files: { '/data/seed': 'of the image', '/srv/': '' },
    prepare: (folder) => {
      chmodSync(folder, 0o755);
      chmodSync(join(folder, 'tmp'), 0o1777);
      chownSync(join(folder, 'data'), 1000, 1000);
    },
  });
  const store = openImageStore({ state, systemRepo: join(scratch.path, 'none') });
  await using source = await openSource(parseImageReference(`oci:${layout}:x`));
  await store.pull(source, { name: IMAGE });
});

let serial = 0;

function generated(files: Record<string, string>, runtime = findRuntime('runc')): GeneratorRun {
  const folder = join(scratch.path, `sources-${serial++}`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return runGenerator({ folders: [folder], engine: 'runc', program: join(root, 'bin/atomic'), runtime, state });
}

const unitOf = ({ units, errors }: GeneratorRun, name: string): UnitFile => {
  assert.deepEqual(errors, []);
  return UnitFile.parse(units.find((one) => one.name === name)?.text ?? assert.fail(name), name);
};

/** A unit as systemd starts and stops it. */
class Service {
  readonly unit: UnitFile;
  #child: ChildProcess | undefined;
  out = '';

  constructor(unit: UnitFile) {
    this.unit = unit;
    services.push(this);
  }

  #commands(key: string): { words: string[]; may: boolean }[] {
    return this.unit.all('Service', key).map((line) => {
      const one = UnitFile.parse(`[S]\nk=${line}\n`, 'x').command('S', 'k')?.words ?? [];
      const words = one.map((word) =>
        word.replaceAll('%N', this.name).replaceAll('%n', this.unit.name).replaceAll('%%', '%'),
      );
      return {
        words: [(words[0] ?? '').replace(/^-/, ''), ...words.slice(1)],
        may: words[0]?.startsWith('-') === true,
      };
    });
  }

  get name(): string {
    return this.unit.name.replace('.service', '');
  }

  async run(key: string): Promise<void> {
    for (const { words, may } of this.#commands(key)) {
      const [program = '', ...args] = words;
      try {
        await execute(program, args, { env: environment });
      } catch (error) {
        if (!may) throw new Error(`${String(error)}\nthe container said: ${this.out}`);
      }
    }
  }

  async start(): Promise<void> {
    await this.run('ExecStartPre');
    const [program = '', ...args] = this.#commands('ExecStart')[0]?.words ?? [];
    const child = spawn(program, args, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.out += text;
      });
    }
    this.#child = child;
  }

  /** The exit status of what it ran. */
  async ended(): Promise<number | null> {
    const child = this.#child ?? assert.fail('it was not started');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  }

  async stop(): Promise<number | null> {
    const signal = this.unit.value('Service', 'KillSignal') === 'SIGQUIT' ? 'SIGQUIT' : 'SIGTERM';
    this.#child?.kill(signal);
    const status = await this.ended();
    await this.run('ExecStopPost');
    return status;
  }

  /** Whatever a test that failed left. */
  async end(): Promise<void> {
    if (this.#child === undefined) return;
    await this.cut();
    await this.run('ExecStopPost');
  }

  /** As the machine's power goes: what was written and mounted stays. */
  async cut(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.ended();
  }
}

async function answer(port: number): Promise<string> {
  for (let tries = 0; ; tries++) {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/`)).text();
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(100);
    }
  }
}

const atomic = (...args: string[]): string =>
  execFileSync(join(root, 'bin/atomic'), args, { encoding: 'utf8', env: environment });

const left = (name: RegExp): string[] => readdirSync(join(state, 'quadlets')).filter((one) => name.test(one));

for (const kind of ['runc', 'crun']) {
  test(`${kind}: a container with its volume, started, cut off, started again, stopped`, { skip }, async () => {
    const runtime = kind === 'crun' ? crunOfOneKind(scratch.path) : findRuntime('runc');
    const port = await freePort();
    const web = `web-${kind}`;
    const run = generated(
      {
        'shared.volume': `[Volume]\nVolumeName=shared-${kind}\n`,
        [`${web}.container`]: `[Unit]
Description=A web server
[Container]
Image=${IMAGE}
Network=host
PublishPort=${port}:${port}
Volume=shared.volume:/data
Volume=./pages:/pages:ro
Volume=/anonymous
Environment="GREETING=50%% of \\"it\\"" OTHER=x
EnvironmentFile=./more.env
Tmpfs=/scratch:size=1m
DropCapability=all
AddCapability=CAP_NET_BIND_SERVICE CAP_KILL
NoNewPrivileges=yes
User=user:1000
WorkingDir=/pages
Notify=healthy
HealthCmd=test -e /data/greeting
HealthInterval=1s
Label=team=web
StopSignal=SIGQUIT
ReloadCmd=sh -c "id -u > /data/reloaded; pwd >> /data/reloaded"
Entrypoint=["/bin/sh", "-c"]
Exec='trap "exit 0" QUIT; echo "$FROM $GREETING $FILED" > /data/greeting; touch /anonymous/x /scratch/y /tmp/written; \\
 id > /data/id; pwd >> /data/id; grep -E "CapBnd|CapEff|NoNewPrivs|Seccomp:" /proc/self/status > /data/status; httpd -f -p ${port} -h /pages & wait'
[Install]
WantedBy=multi-user.target
`,
        'pages/index.html': 'hello',
        'more.env': '# comment\nFILED=from a file\nGREETING=lost\n',
      },
      runtime,
    );
    const folder = join(scratch.path, `units-${kind}`);
    writeUnits(run, folder, 'the test');
    const verified = spawnSync('systemd-analyze', ['verify', ...run.units.map(({ name }) => join(folder, name))], {
      encoding: 'utf8',
    });
    assert.equal(
      verified.stderr
        .split('\n')
        .filter((line) => line.startsWith(folder))
        .join('\n'),
      '',
    );
    assert.ok(existsSync(join(folder, `multi-user.target.wants/${web}.service`)));

    const volume = new Service(unitOf(run, 'shared-volume.service'));
    await volume.run('ExecStart');
    await volume.run('ExecStart');
    const service = new Service(unitOf(run, `${web}.service`));
    const data = join(state, `volumes/shared-${kind}`);
    const bundle = join(state, `quadlets/systemd-${web}`);
    await service.start();
    await service.run('ExecStartPost');
    assert.equal(await answer(port), 'hello');
    assert.equal(readFileSync(join(data, 'greeting'), 'utf8'), 'image 50% of "it" from a file\n');
    assert.equal(readFileSync(join(data, 'seed'), 'utf8'), 'of the image', 'a new volume has what the image has there');
    assert.equal(statSync(data).uid, 1000);
    assert.match(readFileSync(join(data, 'id'), 'utf8'), /^uid=1000\(user\) gid=1000\(user\).*\n\/pages\n$/);
    const status = readFileSync(join(data, 'status'), 'utf8');
    assert.match(status, /CapEff:\s+0000000000000420\nCapBnd:\s+0000000000000420\nNoNewPrivs:\s+1\nSeccomp:\s+2/);
    assert.equal(readFileSync(join(bundle, 'upper/tmp/written'), 'utf8'), '');
    assert.equal(JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8')).annotations.team, 'web');
    execFileSync(runtime, ['--root', '/run/atomic/quadlets', 'exec', `systemd-${web}`, 'cat', '/scratch/y']);
    const [row, ...more] = JSON.parse(atomic('containers', 'list', '--json', '--filter', `name=systemd-${web}`));
    const { name, image, state: runs, backend, runtime: by } = row;
    assert.deepEqual([name, image, runs, backend, by, more], [`systemd-${web}`, IMAGE, 'running', 'quadlet', kind, []]);
    assert.equal(
      atomic('exec', `systemd-${web}`, 'sh', '-c', 'pwd; id -u; echo $FROM; grep CapEff /proc/self/status'),
      '/pages\n1000\nimage\nCapEff:\t0000000000000420\n',
    );
    assert.equal(atomic('exec', '--user=root', `systemd-${web}`, 'sh', '-c', 'id -u'), '0\n');
    assert.match(atomic('exec', '-it', '--display', `systemd-${web}`, 'sh'), / exec .*--tty .* sh\n$/);
    await service.run('ExecReload');
    assert.equal(readFileSync(join(data, 'reloaded'), 'utf8'), '1000\n/pages\n', 'as the user it is, where it is');
    assert.match(atomic('top', `systemd-${web}`), /httpd -f -p/);
    assert.match(atomic('info', '--security', `systemd-${web}`), /capabilities/);
    const [facts] = [JSON.parse(atomic('info', '--json', `systemd-${web}`))].flat();
    assert.match(JSON.stringify(facts), new RegExp(`"unit":"${web}.service"`));
    const refused = spawnSync(join(root, 'bin/atomic'), ['containers', 'delete', '-y', '-f', `systemd-${web}`], {
      encoding: 'utf8',
      env: environment,
    });
    assert.match(refused.stderr, /goes when its unit stops\n.*systemctl stop /);

    await service.cut();
    writeFileSync(join(data, 'mine'), '');
    assert.ok(existsSync(join(bundle, 'upper/tmp/written')), 'it is still there');
    await service.start();
    await service.run('ExecStartPost');
    assert.equal(await answer(port), 'hello');
    assert.ok(existsSync(join(data, 'mine')), 'a volume that was used stays as it is');
    assert.equal(await service.stop(), 0);
    assert.ok(!existsSync(bundle), 'nothing but volumes is left');
    assert.equal(atomic('containers', 'list', '--all', '--storage=quadlet', '-q'), '');
    assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(bundle));
    assert.doesNotMatch(
      execFileSync(runtime, ['--root', '/run/atomic/quadlets', 'list', '-q'], { encoding: 'utf8' }),
      /web/,
    );
  });
}

test('read-only, without network, and a root of its own each time', { skip }, async () => {
  const run = generated({
    'closed.container': `[Container]
Image=${IMAGE}
Network=none
ReadOnly=yes
HostName=closed
Exec=sh -c 'touch /x; touch /run/y && echo run; cat /proc/sys/kernel/hostname; echo "interfaces $(grep -c : /proc/net/dev)"; exit 7'
`,
    'open.container': `[Container]\nImage=${IMAGE}\nNetwork=host\nExec=sh -c "cat /x; echo of-the-run > /x; cat /x /data/seed; echo new > /data/seed"\n`,
  });
  const closed = new Service(unitOf(run, 'closed.service'));
  await closed.start();
  assert.equal(await closed.ended(), 7);
  await closed.run('ExecStopPost');
  assert.match(closed.out, /Read-only file system/);
  assert.match(closed.out, /^run$/m);
  assert.match(closed.out, /^closed$/m);
  assert.match(closed.out, /^interfaces 1$/m);
  for (let round = 0; round < 2; round++) {
    const open = new Service(unitOf(run, 'open.service'));
    await open.start();
    await open.ended();
    await open.run('ExecStopPost');
    assert.match(open.out, /can't open '\/x'/, 'what was written is not found again');
    assert.match(open.out, /^of-the-run$/m);
    assert.match(open.out, /^of the image/m);
  }
  assert.deepEqual(left(/open|closed/), []);
});

test('what is wrong is told at the start, and nothing is left', { skip }, async () => {
  const base = `[Container]\nImage=${IMAGE}\nNetwork=host\n`;
  const sources = [
    [`${base}Volume=/no/such/folder:/data\n`, /Volume=\/no\/such\/folder: there is nothing of that name/],
    [`${base}User=nobody-here\n`, /the image has no user nobody-here/],
    [`${base}AddCapability=CAP_FLYING\n`, /no capability CAP_FLYING/],
    [`${base}EnvironmentFile=/no/such/file\n`, /EnvironmentFile=\/no\/such\/file cannot be read/],
    [`${base}Memory=lots\n`, /Memory=lots is no size/],
    [`${base}ContainerName=../../etc\n`, /'\.\.\/\.\.\/etc' cannot be the name of a container/],
    ['[Container]\nImage=localhost/missing:1\nNetwork=host\nPull=never\n', /no image localhost\/missing:1 here/],
  ] as const;
  await Promise.all(
    sources.map(async ([text, why], index) => {
      const unit = unitOf(generated({ [`bad-${index}.container`]: text }), `bad-${index}.service`);
      await assert.rejects(new Service(unit).run('ExecStartPre'), why);
    }),
  );
  assert.deepEqual(left(/bad/), []);
});
