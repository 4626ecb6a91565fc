import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError, type Progress } from '@atomic/ostree';
import { renameDurably } from '../durable.ts';
import { run } from '../process.ts';
import { launchers, MOUNTED_RUNTIME, PROGRAM, RUNTIME_DIRECTORY, type Runtime } from './runtime.ts';

const IMAGE = `${RUNTIME_DIRECTORY}/runtime.squashfs`;
const UNIT = 'usr-lib-atomic-runtime.mount';

// Loop devices may be a module.
const MOUNT = `[Unit]
Description=The atomic command, compressed
Documentation=man:atomic(1)
Wants=modprobe@loop.service
After=modprobe@loop.service

[Mount]
What=/${IMAGE}
Where=/${MOUNTED_RUNTIME}
Type=squashfs
Options=ro,loop

[Install]
WantedBy=local-fs.target
`;

/** For every unit whose name begins with atomic-, as systemd.unit(5) has it. */
const DROP_IN = `[Unit]
RequiresMountsFor=/${MOUNTED_RUNTIME}
`;

// Where nothing has mounted it (a rescue shell, a chroot) or something lies over it (usroverlay), root can.
const MOUNT_FIRST = `[ -x /${MOUNTED_RUNTIME}/node ] || mount -t squashfs -o ro,loop /${IMAGE} /${MOUNTED_RUNTIME} || exit
`;

const PLACEHOLDER = `Here /${IMAGE} is mounted.\n`;

/** Which modules a kernel needs for it. */
const DRIVERS = ['squashfs', 'loop'];

/**
 * The same runtime with its program as one squashfs, a third of the size, that is mounted when the host starts.
 * The image is kept under `cachedir`. Throws AtomicError 'not-found' without mksquashfs (squashfs-tools).
 */
export async function compressRuntime(
  runtime: Runtime,
  cachedir: string,
  { signal, progress }: { signal?: AbortSignal | undefined; progress?: Progress | undefined },
): Promise<Runtime> {
  const program = new Map<string, { content: Buffer; mode: number }>();
  const files: Runtime['files'] = new Map();
  for (const [path, file] of runtime.files) {
    const inside = path.startsWith(`${RUNTIME_DIRECTORY}/`) ? path.slice(RUNTIME_DIRECTORY.length + 1) : '';
    if (PROGRAM.includes(inside.split('/')[0] ?? '')) program.set(inside, file);
    else files.set(path, file);
  }
  const add = (path: string, content: Buffer | string, mode = 0o644): void => {
    files.set(path, { content: Buffer.from(content), mode });
  };
  add(IMAGE, await imageOf(program, runtime.digest, cachedir, { signal, progress }));
  add(`${MOUNTED_RUNTIME}/NOT-MOUNTED`, PLACEHOLDER);
  add(`usr/lib/systemd/system/${UNIT}`, MOUNT);
  add('usr/lib/systemd/system/atomic-.service.d/10-runtime.conf', DROP_IN);
  for (const [path, content] of launchers(`/${MOUNTED_RUNTIME}`, MOUNT_FIRST)) add(path, content, 0o755);
  return { files, digest: runtime.digest };
}

/** Throws AtomicError 'invalid' for a tree whose kernel could not mount it. */
export function requireSquashfs(root: string, kernel: string | undefined): void {
  const folder = join(root, 'usr/lib/modules', kernel ?? '');
  const lists = ['modules.dep', 'modules.builtin']
    .map((name) => join(folder, name))
    .filter((path) => kernel !== undefined && existsSync(path))
    .map((path) => readFileSync(path, 'utf8'));
  const missing = DRIVERS.filter((name) => !lists.some((list) => new RegExp(`/${name}\\.ko`).test(list)));
  if (missing.length > 0)
    throw new AtomicError('invalid', `'compress-runtime': the tree's kernel has no ${missing.join(' and no ')}`, {
      hint: 'take a kernel that has, or leave the key out',
    });
}

async function imageOf(
  program: ReadonlyMap<string, { content: Buffer; mode: number }>,
  digest: string,
  cachedir: string,
  options: { signal?: AbortSignal | undefined; progress?: Progress | undefined },
): Promise<Buffer> {
  const folder = join(cachedir, 'runtime-images');
  const kept = join(folder, `${digest.slice(0, 32)}.squashfs`);
  if (existsSync(kept)) return readFileSync(kept);
  options.progress?.({ phase: 'postprocess', message: 'compressing atomic and its Node' });
  // Those of other runtimes are of no use any more.
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, 'work-'));
  try {
    const root = join(work, 'root');
    for (const [path, { content, mode }] of program) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content, { mode });
    }
    // Node first: as long as it stays the same, so do these blocks, and a static delta leaves them out.
    writeFileSync(join(work, 'order'), 'node 1\n');
    const image = join(work, 'image');
    const same = ['-all-root', '-all-time', '0', '-mkfs-time', '0', '-sort', join(work, 'order')];
    const small = ['-comp', 'zstd', '-Xcompression-level', '22', '-b', '1M', '-no-xattrs'];
    const quiet = ['-noappend', '-quiet', '-no-progress'];
    await run('mksquashfs', [root, image, ...same, ...small, ...quiet], {
      signal: options.signal,
      cwd: root,
    }).catch((error: unknown) => {
      if (!(error instanceof AtomicError) || error.code !== 'not-found') throw error;
      throw new AtomicError('not-found', "'compress-runtime' needs mksquashfs", {
        hint: 'apt install squashfs-tools',
        cause: error,
      });
    });
    renameDurably(image, kept);
    return readFileSync(kept);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
