import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { terminalAsk } from './prompt.ts';
import { withRegistryAccess } from './registry-access.ts';
import { openStore, type ReachOptions, reachOf } from './store.ts';
import { withTrustPaths } from './trust/common.ts';

interface PushFlags extends ReachOptions {
  compress: string;
  sameDigest?: boolean;
  yes?: boolean;
}

const COMPRESSIONS = ['gzip', 'zstd', 'none'] as const;

/** Adds `atomic push`. */
export function register(program: Command): void {
  const push = add(program, 'push', 'write an image of the object store to a registry or a file', [
    'atomic push registry.example/app:1.2',
    'atomic push app docker://registry.example/group/app:1.2',
    'atomic push app oci-archive:app.ociarchive',
    'atomic push app docker-daemon:app:latest       also oci:, docker-archive:',
  ]);
  withTrustPaths(withRegistryAccess(push))
    .argument('<image>', 'the image')
    .argument('[target]', 'where to (default: by its name)')
    .option('--compress <how>', 'layers whose packed form was not kept: gzip, zstd or none', 'gzip')
    .option('-y, --yes', 'though the policy for pushes would ask')
    .option('--same-digest', 'fail where the image would get another digest than it came with')
    .action(containerAction(pushAction));
}

async function pushAction(ctx: Context, name: string, target: string | undefined, flags: PushFlags): Promise<void> {
  const { checkPush, fullName, loadPushPolicies, parseFullName, push, pushTarget, requirePush, storedConfig } =
    await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  const compression = COMPRESSIONS.find((one) => one === flags.compress);
  if (compression === undefined)
    throw new AtomicError('usage', `--compress ${flags.compress}: must be ${COMPRESSIONS.join(', ')}`);
  const store = await openStore();
  const image = store.need(name);
  const place = pushTarget(target ?? image.name);
  const reach = await reachOf(flags);
  if (place.transport === 'docker') {
    const labels = storedConfig(store.repo, image).config?.Labels ?? {};
    const verdict = checkPush(
      fullName(place.name),
      { names: [parseFullName(image.name)], labels },
      loadPushPolicies(reach.paths.pushPolicies),
    );
    await requirePush(fullName(place.name), verdict, { yes: flags.yes === true, ask: terminalAsk(ctx.signal) });
  }
  const report = await push(image, place, {
    store,
    ...reach,
    compression,
    sameDigest: flags.sameDigest,
    signal: ctx.signal,
    progress: ctx.progress,
  });
  if (ctx.json) {
    ctx.printJson({ image: image.name, ...report });
    return;
  }
  const { sent, there } = report.blobs;
  ctx.print(`${report.to}: ${sent} blobs sent, ${there} were there`);
  if (!report.sameDigest) ctx.warn(`packed anew, so its digest is another than ${image.digest}`);
  ctx.print(report.digest);
}
