import type { EncapsulateResult } from '@atomic/compose';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { collect, sourceDateEpoch } from './common.ts';

interface EncapsulateFlags {
  repo: string;
  label: string[];
  copymeta: string[];
  copymetaOpt: string[];
  cmd?: string;
  arch?: string;
  maxLayers?: string;
  compression: string;
  previousBuildManifest?: string;
  formatVersion?: string;
}

const PLACES = `
IMAGE is oci-archive:FILE[:TAG], oci:FOLDER[:TAG], or what skopeo reaches, such as docker://registry.example/os:latest.`;

/** `atomic compose container-encapsulate`, `container-unencapsulate` and `container-pull`. */
export function register(compose: Command): void {
  compose
    .command('container-encapsulate')
    .description('write a commit as a bootable container image, as bootc pulls it')
    .argument('<ref>', 'tree to write')
    .argument('<image>', 'where to')
    .requiredOption('--repo <path>', 'repository with the tree')
    .option('--label <key=value>', 'label for the image; may be repeated', collect, [])
    .option('--copymeta <key>', 'metadata of the commit to have as a label; it has to be there', collect, [])
    .option('--copymeta-opt <key>', 'the same, if it is there', collect, [])
    .option('--cmd <command>', 'what a container of it runs (default: what the treefile says, or /sbin/init)')
    .option('--arch <architecture>', "the image's, such as amd64 or arm64 (default: the commit's)")
    .option('--max-layers <number>', 'at most so many layers (default: 64)')
    .option('--compression <kind>', 'of the layers: gzip, zstd or none', 'gzip')
    .option('--previous-build-manifest <file>', 'manifest of an earlier image: keep how it was cut into layers')
    .option('--format-version <number>', 'accepted; there is only 1')
    .addHelpText(
      'after',
      `${PLACES}

Layers are cut by package, so that a new version of the tree shares most of them with the one before. The same commit
gives the same image.

Examples:
  atomic compose container-encapsulate --repo=repo debian/12/amd64/minimal oci-archive:minimal.ociarchive
  atomic compose container-encapsulate --repo=repo REF docker://registry.example/os:latest
  atomic compose container-encapsulate --repo=repo --max-layers=20 --label=team=edge REF oci:layout:v1`,
    )
    .action(action(encapsulateAction));
  compose
    .command('build-chunked-oci')
    .description('make a bootable container image, cut by package, of any root file system')
    .option('--rootfs <folder>', 'the root file system as a folder')
    .option('--from <image>', 'the root file system as an image')
    .option('--bootc', 'it can boot: its kernel is in /usr/lib/modules')
    .requiredOption('--output <image>', 'where to')
    .option('--label <key=value>', 'label for the image; may be repeated', collect, [])
    .option('--max-layers <number>', 'at most so many layers (default: 64)')
    .option('--format-version <number>', 'accepted; there is only 1')
    .addHelpText(
      'after',
      `${PLACES}

What /var and /tmp hold is left out, as in any tree. The time of the image is that of --from, or SOURCE_DATE_EPOCH.

Examples:
  atomic compose build-chunked-oci --bootc --rootfs=/mnt/root --output=oci-archive:os.ociarchive
  atomic compose build-chunked-oci --bootc --from=containers-storage:localhost/os --output=oci:layout:latest`,
    )
    .action(action(buildChunkedAction));
  compose
    .command('container-unencapsulate')
    .description('take the commit out of a bootable container image')
    .argument('<image>', 'where from')
    .requiredOption('--repo <path>', 'repository to put the commit in')
    .option('--write-ref <ref>', 'point this ref to it')
    .addHelpText(
      'after',
      `${PLACES}\n\nExample:\n  atomic compose container-unencapsulate --repo=repo --write-ref=os oci-archive:os.ociarchive`,
    )
    .action(action(unencapsulateAction));
  compose
    .command('container-pull')
    .description('pull a bootable container image, with what was built on top of it, into a repository')
    .argument('<image>', 'where from')
    .requiredOption('--repo <path>', 'repository to pull to')
    .addHelpText(
      'after',
      `${PLACES}

Refs are those of bootc: ostree/container/blob/… for layers, which are read once, and ostree/container/image/… for the
commit a host deploys.

Example:
  atomic compose container-pull --repo=/ostree/repo docker://registry.example/os:latest`,
    )
    .action(action(pullAction));
}

async function encapsulateAction(ctx: Context, ref: string, image: string, flags: EncapsulateFlags): Promise<void> {
  const { encapsulate, parseManifest } = await import('@atomic/compose');
  const { AtomicError, Repo } = await import('@atomic/ostree');
  const { readFileSync } = await import('node:fs');
  const { compression } = flags;
  if (compression !== 'gzip' && compression !== 'zstd' && compression !== 'none')
    throw new AtomicError('usage', `--compression must be gzip, zstd or none, but is '${compression}'`);
  const previous = flags.previousBuildManifest;
  const result = await encapsulate({
    repo: Repo.open(flags.repo),
    ref,
    destination: image,
    labels: await labelsOf(flags.label),
    copyMetadata: flags.copymeta,
    copyOptionalMetadata: flags.copymetaOpt,
    cmd: flags.cmd?.split(/\s+/),
    architecture: flags.arch,
    maxLayers: await layersOf(flags.maxLayers),
    compression,
    previous: previous === undefined ? undefined : parseManifest(readFileSync(previous)),
    signal: ctx.signal,
    progress: ctx.progress,
  });
  printImage(ctx, image, result);
}

interface BuildChunkedFlags {
  rootfs?: string;
  from?: string;
  bootc?: boolean;
  output: string;
  label: string[];
  maxLayers?: string;
}

async function buildChunkedAction(ctx: Context, flags: BuildChunkedFlags): Promise<void> {
  const { buildChunked } = await import('@atomic/compose');
  const { AtomicError } = await import('@atomic/ostree');
  const { rootfs, from } = flags;
  if ((rootfs === undefined) === (from === undefined))
    throw new AtomicError('usage', 'name the root file system with either --rootfs or --from');
  const result = await buildChunked({
    source: rootfs === undefined ? { image: from ?? '' } : { rootfs },
    destination: flags.output,
    bootable: flags.bootc === true,
    labels: await labelsOf(flags.label),
    maxLayers: await layersOf(flags.maxLayers),
    timestamp: await sourceDateEpoch(),
    scratch: '/var/tmp',
    signal: ctx.signal,
    progress: ctx.progress,
  });
  printImage(ctx, flags.output, result);
}

async function labelsOf(pairs: readonly string[]): Promise<Map<string, string>> {
  const { AtomicError } = await import('@atomic/ostree');
  const labels = new Map<string, string>();
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new AtomicError('usage', `--label must be KEY=VALUE, but is '${pair}'`);
    labels.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return labels;
}

async function layersOf(text: string | undefined): Promise<number | undefined> {
  const { AtomicError } = await import('@atomic/ostree');
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text)) throw new AtomicError('usage', `--max-layers must be a number, but is '${text}'`);
  return Number(text);
}

function printImage(ctx: Context, image: string, result: EncapsulateResult): void {
  if (ctx.json) {
    ctx.printJson(result);
    return;
  }
  const size = result.layers.reduce((sum, layer) => sum + layer.size, 0);
  ctx.print(`Pushed digest: ${result.digest}`);
  ctx.print(`${image}: ${result.commit}, ${result.layers.length} layers, ${(size / 2 ** 20).toFixed(1)} MiB`);
}

async function unencapsulateAction(
  ctx: Context,
  image: string,
  flags: { repo: string; writeRef?: string },
): Promise<void> {
  const { unencapsulate } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  const { signal, progress } = ctx;
  const result = await unencapsulate({
    repo: Repo.open(flags.repo),
    source: image,
    ref: flags.writeRef,
    signal,
    progress,
  });
  if (ctx.json) return ctx.printJson(result);
  ctx.print(
    flags.writeRef === undefined ? `Imported: ${result.commit}` : `Imported: ${flags.writeRef} => ${result.commit}`,
  );
}

async function pullAction(ctx: Context, image: string, flags: { repo: string }): Promise<void> {
  const { pullImage } = await import('@atomic/compose');
  const { Repo } = await import('@atomic/ostree');
  const { signal, progress } = ctx;
  const result = await pullImage({ repo: Repo.open(flags.repo), source: image, signal, progress });
  if (ctx.json) return ctx.printJson(result);
  const { total, fetched, derived } = result.layers;
  ctx.print(`Layers: ${total}, ${fetched} new${derived === 0 ? '' : `, ${derived} on top of the commit`}`);
  ctx.print(`${result.ref} => ${result.merged}`);
}
