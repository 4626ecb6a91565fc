import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { AtomicError } from '@atomic/ostree';

/**
 * Mounts an overlay and holds it in a mount namespace of its own, which ends with this process: nothing is left to
 * unmount, whatever happens. Below `merged` /usr and /etc are mounts, so nobody inside can put something else there.
 * `etc` of the tree is its usr/etc, `var` the capture folder. Nothing is synced (kernels before 5.10 do): what counts is
 * the commit made of it, which syncs the whole file system.
 */
const KEEPER = `set -e
cd "$1"
options="lowerdir=$2,upperdir=upper,workdir=ovl,index=off,xino=off,redirect_dir=off,metacopy=off"
mount -t overlay overlay -o "$options,volatile" merged 2>/dev/null || mount -t overlay overlay -o "$options" merged
for d in etc var boot run tmp dev proc; do [ -d "merged/$d" ] || mkdir "merged/$d"; done
mount --bind merged/usr merged/usr
[ -d merged/usr/etc ] || mkdir merged/usr/etc
mount --bind merged/usr/etc merged/etc
mount --bind var merged/var
echo mounted
exec cat
`;

export interface Overlay {
  /** In whose namespace it is mounted. */
  pid: number;
  /** The merged tree, as this process reaches it. */
  root: string;
  /** Unmounts it. */
  close(): Promise<void>;
}

/**
 * Mounts an overlay on `folder`/merged, of `lowers` (names in `folder`, topmost first) under `folder`/upper.
 * Throws `permission` where that is not allowed, `unsupported` where the file system cannot carry one.
 */
export async function mountOverlay(folder: string, lowers: readonly string[]): Promise<Overlay> {
  const keeper = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', KEEPER, 'sh', folder, lowers.join(':')],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
    },
  );
  let said = '';
  keeper.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  keeper.stdin.on('error', () => {});
  const mounted = await new Promise<boolean>((resolve, reject) => {
    keeper.once('error', (error) =>
      reject(new AtomicError('not-found', `cannot run unshare: ${error.message}`, { hint: 'install util-linux' })),
    );
    keeper.stdout.once('data', () => resolve(true));
    keeper.once('close', () => resolve(false));
  });
  if (!mounted || keeper.pid === undefined) {
    const reason = said.trim().split('\n').at(-1) ?? '';
    if (/Operation not permitted|permission denied/i.test(reason)) {
      throw new AtomicError('permission', `cannot mount an overlay of the base: ${reason}`, {
        hint: 'packages are layered by root, outside of containers that may not mount',
      });
    }
    throw new AtomicError('unsupported', `cannot mount an overlay of the base on ${folder}: ${reason}`, {
      hint: 'overlayfs needs a file system such as ext4, xfs or btrfs below the repository',
    });
  }
  return { pid: keeper.pid, root: `/proc/${keeper.pid}/root${folder}/merged`, close: () => closeKeeper(keeper) };
}

async function closeKeeper(keeper: ChildProcess): Promise<void> {
  if (keeper.exitCode !== null || keeper.signalCode !== null) return;
  const gone = once(keeper, 'close');
  keeper.stdin?.end();
  await gone;
}
