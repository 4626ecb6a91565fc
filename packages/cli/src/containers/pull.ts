import { type Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { withRegistryAccess } from './registry-access.ts';
import { chooser, openStore, type ReachOptions, reachOf } from './store.ts';
import { withTrustPaths } from './trust/common.ts';

interface PullFlags extends ReachOptions {
  name?: string;
  keepBlobs?: boolean;
  storage?: string;
  srcCreds?: string;
}

/** Adds `atomic pull`. */
export function register(program: Command): void {
  const pull = add(program, 'pull', 'fetch an image into the object store', [
    'atomic pull registry.example/group/app:1.2',
    'atomic pull --keep-blobs registry.example/app   so that it can be given on with the same digests offline',
    'atomic pull oci:folder:tag                      also oci-archive:, docker-archive:, docker-daemon:',
    'atomic pull --storage=docker registry.example/app',
  ]);
  withTrustPaths(withRegistryAccess(pull))
    .argument('<image>', "the image's name, or where it is")
    .option('--name <name>', 'store it under this name')
    .option('--keep-blobs', 'keep compressed layers as they came, beside their files')
    .option('--platform <os/arch>', 'of a list, the image for this platform')
    .option('--storage <engine>', 'into docker or podman, instead of the object store (atomic)')
    .option('--src-creds <user:password>', 'as --creds')
    // The other kind was a registry of Atomic Enterprise.
    .addOption(new Option('-t, --type <kind>').choices(['docker']).hideHelp())
    .action(containerAction(pullAction));
}

async function pullAction(ctx: Context, image: string, flags: PullFlags): Promise<void> {
  if (flags.storage !== undefined && !['atomic', 'ostree', 'system'].includes(flags.storage)) {
    const { openBackends } = await import('./backends.ts');
    await using backends = await openBackends(flags.storage);
    const [backend] = backends.images;
    if (backend === undefined) return;
    const { byDigest, hasTransport, judgePull } = await import('@atomic/containers');
    const { AtomicError } = await import('@atomic/ostree');
    if (hasTransport(image)) {
      throw new AtomicError('usage', `${backend.name} fetches by name, not ${image}`, {
        hint: `into the store, then on: atomic pull ${image}; atomic push NAME docker-daemon:NAME:TAG`,
      });
    }
    const reach = await reachOf({ ...flags, ...(flags.srcCreds === undefined ? {} : { creds: flags.srcCreds }) });
    const { name, digest } = await judgePull(image, { ...reach, choose: chooser(ctx), signal: ctx.signal });
    // By the digest that was decided on: the tag may move in between, and Docker knows no policy.
    const pinned = byDigest(name, digest);
    await backend.pull(pinned, { signal: ctx.signal, progress: ctx.progress });
    if (!name.includes('@')) await backend.tag(pinned, name);
    if (ctx.json) ctx.printJson({ name, digest, storage: backend.name });
    else ctx.print(`${name}\n${digest}`);
    return;
  }
  const { pull } = await import('@atomic/containers');
  const store = await openStore();
  const report = await pull(image, {
    store,
    ...(await reachOf({ ...flags, ...(flags.srcCreds === undefined ? {} : { creds: flags.srcCreds }) })),
    name: flags.name,
    keepBlobs: flags.keepBlobs,
    choose: chooser(ctx),
    signal: ctx.signal,
    progress: ctx.progress,
  });
  const { image: stored, fetched, unchanged, from, decision } = report;
  if (ctx.json) {
    const { name, digest, id, commit, diffIds } = stored;
    ctx.printJson({
      name,
      digest,
      id,
      commit,
      layers: diffIds.length,
      fetched,
      unchanged,
      from,
      policy: decision.rule,
    });
    return;
  }
  if (unchanged) ctx.print(`${stored.name} is already present`);
  else ctx.print(`${stored.name}: ${fetched} of ${stored.diffIds.length} layers fetched`);
  ctx.print(stored.digest);
}
