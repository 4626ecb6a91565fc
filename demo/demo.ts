import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type LoginOptions, Machine, type RepoServer, serveRepo, type WaitOptions } from '@atomic/vm';
import { z } from 'zod';
import { type HostOptions, whatIsMissing } from './host.ts';
import { type Reporter, StepError } from './report.ts';
import { type Composed, composeVersion, initRepo, type TreesOptions, writeImage } from './trees.ts';

/** Who logs in: examples/demo/login.yaml. */
export const LOGIN: LoginOptions = { user: 'root', password: 'atomic' };

const Status = z.object({
  deployments: z.array(
    z.object({
      booted: z.boolean(),
      staged: z.boolean().optional(),
      checksum: z.string(),
      version: z.string().nullish(),
    }),
  ),
});
export type Status = z.infer<typeof Status>;

/** What the guest says of its deployments. */
export async function hostStatus(machine: Machine): Promise<Status> {
  return Status.parse(JSON.parse(await machine.check('atomic host status --json')));
}

export interface DemoOptions extends HostOptions {
  /** Folder for repository and disk. */
  state: string;
  cachedir: string;
}

export interface Phase {
  name: string;
  seconds: number;
}

export interface DemoSummary {
  versions: { v1: Composed; v2: Composed };
  image: { path: string; allocated: number };
  pulled: { requests: number; bytes: number };
  guestMemoryMiB: { total: number; used: number };
  port: number;
  phases: Phase[];
}

/**
 * The whole life of a machine, steps a to h: composed, imaged, booted, used, upgraded, rolled back. Every claim is
 * checked; throws StepError naming the step in which one did not hold.
 */
export async function runDemo(options: DemoOptions): Promise<DemoSummary> {
  const { reporter, signal } = options;
  const phases: Phase[] = [];
  let current = 'preparation';

  const step = (letter: string, title: string, why: string) => {
    current = `${letter} (${title})`;
    reporter.step(letter, title, why);
  };
  const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    phases.push({ name, seconds: (performance.now() - start) / 1000 });
    return result;
  };
  const expect = (holds: boolean, what: string, found?: unknown) => {
    if (!holds)
      throw new StepError(current, `this does not hold: ${what}${found === undefined ? '' : ` (found: ${found})`}`);
    reporter.ok(what);
  };
  const same = (found: string, wanted: string, what: string) =>
    expect(found.trim() === wanted, what, JSON.stringify(found.trim()));

  let server: RepoServer | undefined;
  let machine: Machine | undefined;
  try {
    const missing = whatIsMissing();
    if (missing !== null) throw new StepError(current, missing);
    await mkdir(options.state, { recursive: true });
    const trees: TreesOptions = { ...options, repo: join(options.state, 'repo') };
    const disk = join(options.state, 'disk.raw');

    step(
      'a',
      'Compose version 1',
      'A treefile says what the machine is; its packages become one tree, committed to a repository.',
    );
    await timed('repository', () => initRepo(trees));
    const v1 = await timed('compose version 1', () => composeVersion(1, null, trees));
    reporter.note(`${v1.packages} packages, kernel ${v1.kernel}, commit ${v1.commit.slice(0, 12)} on ${v1.ref}`);

    step('b', 'Write a disk image', 'Partitions, boot loader, and one deployment of that commit with its boot entry.');
    server = await serveRepo(trees.repo);
    const url = `http://10.0.2.2:${server.port}/`;
    const image = await timed('disk image', () => writeImage(disk, v1.ref, url, trees));
    reporter.note(`${mib(image.allocated)} MiB on disk; it will upgrade itself from ${url}, which is this machine`);

    step(
      'c',
      'Boot it',
      'QEMU by software emulation, 512 MiB; firmware, GRUB, kernel; then a login on the serial console.',
    );
    const vm = await Machine.start({ disk, format: 'raw', boot: 'loader', onConsole: reporter.console, signal });
    machine = vm;
    const guest = (line: string, wait?: WaitOptions) => {
      reporter.command('guest', line);
      return vm.check(line, wait);
    };
    await timed('first boot and login', () => vm.login(LOGIN));
    reporter.note(await guest('uname -sr; findmnt -no SOURCE,OPTIONS /usr; cat /proc/cmdline'));
    await checkBooted(vm, v1, null, expect);
    const guestMemoryMiB = await memoryUse(vm);

    step('d', 'Use the machine', '/etc and /var are its own: what is changed there has to survive what follows.');
    await guest(
      'echo edited-here > /etc/hostname; echo mine > /etc/my.conf; mkdir -p /var/lib/me; echo keep > /var/lib/me/data; sync',
    );
    same(
      await guest('cat /etc/demo.conf | grep -v "#"'),
      'greeting = hello from version 1',
      '/etc has the defaults of version 1',
    );
    const write = await vm.run('touch /usr/x');
    expect(write.code !== 0 && write.output.includes('Read-only'), '/usr is read-only');

    step(
      'e',
      'Compose version 2',
      'A package more, a default in /etc changed, a new marker; committed on top of version 1.',
    );
    const v2 = await timed('compose version 2', () => composeVersion(2, v1.commit, trees));
    reporter.note(`${v2.packages} packages, commit ${v2.commit.slice(0, 12)}`);
    expect(v2.commit !== v1.commit, 'it is another commit');

    step(
      'f',
      'Upgrade',
      'The machine pulls what it lacks over HTTP, stages it beside what runs, and switches at shutdown.',
    );
    const before = { ...server.stats };
    await timed('upgrade in the guest', async () => {
      reporter.note(await guest('atomic host upgrade', { timeoutSeconds: 400 }));
    });
    const pulled = { requests: server.stats.requests - before.requests, bytes: server.stats.bytes - before.bytes };
    reporter.note(`pulled ${mib(pulled.bytes)} MiB in ${pulled.requests} requests`);
    const staged = await hostStatus(vm);
    expect(
      staged.deployments[0]?.checksum === v2.commit && staged.deployments[0].staged === true,
      'version 2 is staged',
    );
    expect(
      staged.deployments.some((d) => d.booted && d.checksum === v1.commit),
      'version 1 still runs',
    );
    await reboot(vm, 'into version 2', timed, reporter);
    reporter.note(await guest('atomic host status'));
    await checkBooted(vm, v2, v1, expect);
    same(
      await vm.check('cat /etc/hostname /etc/my.conf | tr "\\n" " "'),
      'edited-here mine',
      'the edits in /etc are there',
    );
    same(
      await vm.check('grep -v "#" /etc/demo.conf'),
      'greeting = hello from version 2',
      'the new default in /etc is there',
    );
    same(await vm.check('cat /var/lib/me/data'), 'keep', '/var is untouched');
    same(
      await vm.check('cat /usr/share/demo/version; command -v less'),
      '2\n/usr/bin/less',
      'the new marker and package are there',
    );
    expect((await vm.run('touch /usr/x')).code !== 0, '/usr is read-only');
    await vm.check('echo from-2 > /etc/second.conf');

    step(
      'g',
      'Roll back',
      'The previous deployment was kept whole, with its own /etc: going back is choosing its boot entry.',
    );
    await timed('rollback in the guest', async () => {
      reporter.note(await guest('atomic host rollback', { timeoutSeconds: 300 }));
    });
    await reboot(vm, 'into version 1', timed, reporter);
    reporter.note(await guest('atomic host status'));
    await checkBooted(vm, v1, v2, expect);
    same(await vm.check('cat /etc/hostname /etc/my.conf | tr "\\n" " "'), 'edited-here mine', 'its own /etc is there');
    same(
      await vm.check('grep -v "#" /etc/demo.conf'),
      'greeting = hello from version 1',
      'with the defaults of version 1',
    );
    same(
      await vm.check('ls /etc/second.conf 2>/dev/null || echo none'),
      'none',
      'and nothing that was done under version 2',
    );
    same(await vm.check('cat /var/lib/me/data'), 'keep', '/var is untouched');
    await timed('power off', () => vm.powerOff());

    return {
      versions: { v1, v2 },
      image: { path: disk, allocated: image.allocated },
      pulled,
      guestMemoryMiB,
      port: server.port,
      phases,
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof StepError) throw error;
    throw new StepError(current, error instanceof Error ? describe(error) : String(error), { cause: error });
  } finally {
    await machine?.dispose();
    await server?.close();
  }
}

type Expect = (holds: boolean, what: string, found?: unknown) => void;
type Timed = <T>(name: string, work: () => Promise<T>) => Promise<T>;

async function reboot(vm: Machine, where: string, timed: Timed, reporter: Reporter): Promise<void> {
  reporter.command('guest', 'systemctl reboot');
  await timed(`shutdown, ${where}`, () => vm.reboot());
  await timed(`boot ${where}`, () => vm.login(LOGIN));
}

/** The version that runs, what lies beside it, and that the loader took the entry the deployment wrote. */
async function checkBooted(vm: Machine, wanted: Composed, other: Composed | null, expect: Expect): Promise<void> {
  const { deployments } = await hostStatus(vm);
  const booted = deployments.find((deployment) => deployment.booted);
  const name = `version ${wanted.version}`;
  expect(booted?.checksum === wanted.commit && booted.version === wanted.version, `${name} is booted`, booted?.version);
  if (other) {
    const rest = deployments.filter((deployment) => !deployment.booted).map((deployment) => deployment.checksum);
    expect(rest.includes(other.commit), `version ${other.version} is there to go back to`);
  }
  const entries = "cat $(ls /boot/loader/entries/*.conf | sort -rV | head -1) | sed -n 's/^options //p'";
  const options = await vm.check(entries);
  const cmdline = await vm.check('cat /proc/cmdline');
  expect(
    cmdline.includes(options.trim()),
    'the boot loader took the entry that the deployment wrote',
    `${cmdline} / ${options}`,
  );
}

async function memoryUse(vm: Machine): Promise<{ total: number; used: number }> {
  const info = await vm.check('cat /proc/meminfo');
  const kib = (key: string) => Number(new RegExp(`^${key}: *(\\d+)`, 'm').exec(info)?.[1] ?? '0');
  return {
    total: Math.round(kib('MemTotal') / 1024),
    used: Math.round((kib('MemTotal') - kib('MemAvailable')) / 1024),
  };
}

export const mib = (bytes: number): string => (bytes / 1048576).toFixed(1);

function describe(error: Error): string {
  const hint = 'hint' in error && typeof error.hint === 'string' ? `\n${error.hint}` : '';
  return error.message + hint;
}
