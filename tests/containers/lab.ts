/** Images made without network, and engines and registries of our own to put them in. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Descriptor, LayoutWriter, MEDIA } from '@atomic/oci';

export const root = join(import.meta.dirname, '../..');

/** A folder that goes away with the `using` that made it. */
export function scratchFolder(name: string): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), `atomic-${name}-`));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Why containers cannot be tried on this machine; undefined when they can. */
export function lacks(...programs: string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`;
}

export interface ImageRecipe {
  labels?: Record<string, string>;
  cmd?: string[];
  entrypoint?: string[];
  env?: string[];
  user?: string;
  /** Where the image wants its data kept. */
  volumes?: string[];
  /** Path → text; below busybox's own files. A path ending in / is an empty folder. */
  files?: Record<string, string>;
  /** Done to the unpacked root before it becomes the layer. */
  prepare?: (folder: string) => void;
  /** Leave busybox out: nothing but `files`. */
  bare?: boolean;
  /** Layers below, as folders or as what a previous recipe returned in `layers`. */
  base?: { layers: { descriptor: Descriptor; diffId: string }[] };
  compression?: 'gzip' | 'zstd' | 'none';
  created?: string;
}

const TOOLS = ['sh', 'cat', 'ls', 'sleep', 'echo', 'true', 'false', 'env', 'id', 'ps', 'touch', 'mkdir', 'rm', 'cp'];
const MORE_TOOLS = ['grep', 'stat', 'sed', 'chmod', 'httpd', 'wget', 'nc', 'trap', 'kill', 'chroot', 'adduser', 'tar'];

/** A root with a static busybox, so that what is in it runs anywhere. */
export function busyboxRoot(folder: string): void {
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root', 'run', 'var/log', 'usr/bin'])
    mkdirSync(join(folder, name), { recursive: true });
  const busybox = ['/usr/bin/busybox', '/bin/busybox'].find((path) => existsSync(path));
  if (busybox === undefined) throw new Error('busybox-static is not installed');
  cpSync(busybox, join(folder, 'bin/busybox'), { dereference: true });
  for (const tool of [...TOOLS, ...MORE_TOOLS]) symlinkSync('busybox', join(folder, 'bin', tool));
  writeFileSync(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/:/bin/sh\n');
  writeFileSync(join(folder, 'etc/group'), 'root:x:0:\nuser:x:1000:\n');
}

/**
 * Writes an image of one layer (over `base`'s) into the OCI layout folder `layout`, which is made; the tag is its name
 * there. The same recipe gives the same digests.
 */
export async function makeImage(layout: string, tag: string, recipe: ImageRecipe = {}) {
  using work = scratchFolder('image');
  if (recipe.bare !== true && recipe.base === undefined) busyboxRoot(work.path);
  for (const [path, text] of Object.entries(recipe.files ?? {})) {
    const target = join(work.path, path);
    mkdirSync(path.endsWith('/') ? target : dirname(target), { recursive: true });
    if (!path.endsWith('/')) writeFileSync(target, text, { mode: text.startsWith('#!') ? 0o755 : 0o644 });
  }
  recipe.prepare?.(work.path);
  const writer = await LayoutWriter.create(layout);
  const tar = spawn(
    'tar',
    [
      '--sort=name',
      '--mtime=@1700000000',
      '--numeric-owner',
      '--xattrs',
      '--xattrs-include=*',
      '-C',
      work.path,
      '-c',
      '.',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const layer = await writer.layer(tar.stdout, recipe.compression ?? 'gzip');
  const layers = [...(recipe.base?.layers ?? []), layer];
  const created = recipe.created ?? '2026-01-02T03:04:05Z';
  const config = await writer.json(MEDIA.config, {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    created,
    config: {
      Labels: recipe.labels ?? {},
      Cmd: recipe.cmd ?? ['/bin/sh'],
      Env: recipe.env ?? ['PATH=/bin:/usr/bin'],
      ...(recipe.entrypoint === undefined ? {} : { Entrypoint: recipe.entrypoint }),
      ...(recipe.user === undefined ? {} : { User: recipe.user }),
      ...(recipe.volumes === undefined ? {} : { Volumes: Object.fromEntries(recipe.volumes.map((one) => [one, {}])) }),
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(() => ({ created, created_by: 'lab' })),
  });
  const manifest = await writer.json(MEDIA.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    config,
    layers: layers.map(({ descriptor }) => descriptor),
  });
  const described = { ...manifest, mediaType: MEDIA.manifest };
  await writer.finish(described, tag);
  return {
    layout,
    tag,
    reference: `oci:${layout}:${tag}`,
    digest: manifest.digest,
    configDigest: config.digest,
    layers,
  };
}

/** A port nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Resolves once `ready` does; the child's death or a minute end the waiting. */
async function waitFor(
  what: string,
  child: { exitCode: number | null },
  ready: () => Promise<boolean>,
  said: () => string,
) {
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`${what} ended: ${said()}`);
    if (await ready()) return;
    await sleep(100);
  }
  throw new Error(`${what} did not answer within a minute: ${said()}`);
}

const answers = (options: { socketPath: string; path: string } | string): Promise<boolean> =>
  new Promise((resolve) => {
    const asked = request(options, (response) => {
      response.resume();
      resolve((response.statusCode ?? 500) < 500);
    });
    asked.on('error', () => resolve(false));
    asked.end();
  });

/** What it says goes to a file in `work`: a pipe that nobody reads while a test waits for a command would hold it up. */
function daemon(program: string, args: string[], work: string, env: Record<string, string> = {}) {
  const path = join(work, `${program}.log`);
  const log = openSync(path, 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
  closeSync(log);
  return {
    child,
    said: () => readFileSync(path, 'utf8').slice(-4000),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await gone;
      clearTimeout(late);
    },
  };
}

export interface Dockerd extends AsyncDisposable {
  socket: string;
  /** For DOCKER_HOST and `docker -H`. */
  host: string;
  /** Puts an image of a layout into the engine under a name. */
  load(reference: string, name: string): void;
  docker(...args: string[]): string;
}

/** Debian's docker engine on a socket and folders of its own, without network. */
export async function startDockerd(): Promise<Dockerd> {
  const work = scratchFolder('dockerd');
  const socket = join(work.path, 'docker.sock');
  const host = `unix://${socket}`;
  const folders = ['--data-root', join(work.path, 'data'), '--exec-root', join(work.path, 'exec')];
  const network = ['--bridge=none', '--iptables=false', '--ip-forward=false', '--ip-masq=false'];
  const args = ['-H', host, ...folders, '-p', join(work.path, 'pid'), ...network];
  const { child, said, stop } = daemon('dockerd', args, work.path);
  const end = async (): Promise<void> => {
    await stop();
    // Mounts of containers that were running when it ended keep the folder busy for a moment.
    spawnSync('sh', ['-c', `grep -o '${work.path}[^ ]*' /proc/mounts | sort -r | xargs -r -n1 umount -l`]);
    work[Symbol.dispose]();
  };
  try {
    await waitFor('dockerd', child, () => answers({ socketPath: socket, path: '/_ping' }), said);
  } catch (error) {
    await end();
    throw error;
  }
  const docker = (...words: string[]): string =>
    execFileSync('docker', ['-H', host, ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const load = (reference: string, name: string): void => {
    execFileSync('skopeo', [
      ...['--insecure-policy', 'copy', '-q', '--dest-daemon-host', host],
      ...[reference, `docker-daemon:${name}`],
    ]);
  };
  return { socket, host, load, docker, [Symbol.asyncDispose]: end };
}

/** Debian's docker-registry on a free port of this machine, plain HTTP, deletion allowed. */
export async function startRegistry(
  extra: Record<string, unknown> = {},
): Promise<AsyncDisposable & { host: string; folder: string; push(reference: string, name: string): void }> {
  const work = scratchFolder('registry');
  const host = `127.0.0.1:${await freePort()}`;
  const config = join(work.path, 'config.yml');
  const folder = join(work.path, 'data');
  const { http, ...more } = extra;
  writeFileSync(
    config,
    // JSON is YAML.
    JSON.stringify({
      version: 0.1,
      log: { level: 'warn' },
      storage: { filesystem: { rootdirectory: folder }, delete: { enabled: true } },
      http: { addr: host, ...(typeof http === 'object' ? http : {}) },
      ...more,
    }),
  );
  const { child, said, stop } = daemon('docker-registry', ['serve', config], work.path, {
    OTEL_TRACES_EXPORTER: 'none',
  });
  const end = async (): Promise<void> => {
    await stop();
    work[Symbol.dispose]();
  };
  try {
    await waitFor('docker-registry', child, () => answers(`http://${host}/v2/`), said);
  } catch (error) {
    await end();
    throw error;
  }
  const push = (reference: string, name: string): void => {
    execFileSync('skopeo', [
      ...['--insecure-policy', 'copy', '-q', '--dest-tls-verify=false'],
      ...[reference, `docker://${host}/${name}`],
    ]);
  };
  return { host, folder, push, [Symbol.asyncDispose]: end };
}

/** Runs our command as a user does; the engine is told by DOCKER_HOST. */
export function atomic(args: string[], options: { env?: Record<string, string>; input?: string } = {}) {
  const result = spawnSync(join(root, 'bin/atomic'), args, {
    encoding: 'utf8',
    env: { ...process.env, ...options.env },
    input: options.input ?? '',
  });
  return { status: result.status, out: result.stdout, err: result.stderr };
}
