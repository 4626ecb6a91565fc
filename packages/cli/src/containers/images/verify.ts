import type { ImageBackend, StoredVerdict, VerifyReport } from '@atomic/containers';
import type { Command } from 'commander';
import type { Context } from '../../context.ts';
import { findImages, openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';
import { withRegistryAccess } from '../registry-access.ts';
import { type ReachOptions, reachOf } from '../store.ts';
import { withTrustPaths } from '../trust/common.ts';

interface VerifyFlags extends ReachOptions {
  remote?: boolean;
  all?: boolean;
  storage?: string;
  signatures?: boolean;
}

/** Adds `atomic images verify`. */
export function register(images: Command): void {
  const verify = add(images, 'verify', 'hash what is kept of images, and say whether it is what it was', [
    'atomic images verify registry.example/web',
    'atomic images verify --all',
    'atomic images verify --signatures registry.example/web    and ask the policy anew, with the signatures there are now',
    'atomic images verify --remote registry.example/web    and whether its registry has a newer one',
  ]);
  withTrustPaths(withRegistryAccess(verify))
    .argument('[images...]', 'names, or beginnings of ids')
    .option('-a, --all', 'all of them')
    .option('--signatures', 'also whether policy.json would let them in now; what it refuses ends with status 3')
    .option('--remote', 'ask the registry whether there is a newer one')
    .option('--storage <engine>', 'only in docker, podman or atomic')
    .action(
      containerAction(async (ctx, names: string[], flags: VerifyFlags) => {
        const { AtomicError } = await import('@atomic/ostree');
        if ((names.length === 0) !== (flags.all === true)) {
          throw new AtomicError('usage', 'name the images to verify, or say --all');
        }
        await using backends = await openBackends(flags.storage);
        const targets =
          flags.all === true
            ? (
                await Promise.all(
                  backends.images.map(async (backend) =>
                    (await backend.list()).map(({ id, names: [first] }) => ({ backend, name: first ?? id })),
                  ),
                )
              ).flat()
            : (
                await Promise.all(
                  names.map(async (name) =>
                    (await findImages(backends, name)).map(({ backend }) => ({ backend, name })),
                  ),
                )
              ).flat();
        const reports: (VerifyReport & { policy?: StoredVerdict[] })[] = [];
        for (const { backend, name } of targets) {
          const local = await backend.verify(name, { signal: ctx.signal, progress: ctx.progress });
          const outdated = flags.remote === true ? await isOutdated(ctx, backend, name, flags) : local.outdated;
          const report = { ...local, outdated };
          const policy = flags.signatures === true ? await signatures(ctx, backend, name, flags) : undefined;
          reports.push({ ...report, ...(policy === undefined ? {} : { policy }) });
          if (ctx.json) continue;
          const count = report.checked.length;
          ctx.print(`${name} (${backend.name}): ${report.good ? `good, ${count} checked` : 'NOT what it was'}`);
          if (outdated === true) ctx.print('  its registry has another one by that name');
          for (const problem of report.problems) ctx.print(`  ${problem}`);
          for (const { accepted, why, fix } of policy ?? []) {
            ctx.print(`  policy: ${accepted ? 'accepted' : 'REFUSED'}: ${why}`);
            if (fix !== undefined) ctx.print(`    fix: ${fix}`);
          }
          if (ctx.verbose) for (const checked of report.checked) ctx.print(`  ${checked}`);
        }
        if (ctx.json) ctx.printJson(reports);
        if (reports.some(({ good }) => !good)) return 1;
        return reports.every(({ policy = [] }) => policy.every(({ accepted }) => accepted)) ? 0 : 3;
      }),
    );
}

/** What the policy says now of an image that is here. */
async function signatures(
  ctx: Context,
  backend: ImageBackend,
  name: string,
  flags: VerifyFlags,
): Promise<StoredVerdict[]> {
  const { judgeStored } = await import('@atomic/containers');
  const image = await backend.find(name);
  if (image === undefined) return [];
  return await judgeStored(image, { ...(await reachOf(flags)), signal: ctx.signal });
}

async function isOutdated(ctx: Context, backend: ImageBackend, name: string, flags: VerifyFlags): Promise<boolean> {
  const { remoteImage } = await import('@atomic/containers');
  const [local, remote] = await Promise.all([
    backend.find(name),
    remoteImage(name, { ...(await reachOf(flags)), signal: ctx.signal }),
  ]);
  return local !== undefined && local.id !== remote.id;
}
