import type { Command } from 'commander';
import { action, type Context } from './context.ts';

interface TreeOptions {
  repo: string;
  cachedir: string;
  dryRun?: boolean;
  printOnly?: boolean;
  forceNocache?: boolean;
  cacheOnly?: boolean;
  parent?: string | boolean;
  addMetadataString: string[];
  treeVersion?: string;
  writeCommitidTo?: string;
  writeComposejsonTo?: string;
  touchIfChanged?: string;
}

interface ImageOptions {
  repo: string;
  ref: string;
  output?: string;
  format?: string;
  size: string;
  os: string;
  remoteName: string;
  remoteUrl?: string;
  karg: string[];
  firmware: string[];
  bootloader: string;
  bootSize?: string;
}

const collect = (value: string, all: string[]): string[] => [...all, value];

/** Registers `atomic compose tree` and `atomic compose image`. */
export function register(program: Command): void {
  const compose = program.command('compose').description('make trees and disk images from a treefile');
  compose
    .command('tree')
    .description('install what a treefile says, shape it for ostree and commit it')
    .argument('<treefile>', 'YAML, with the keys of rpm-ostree')
    .requiredOption('--repo <path>', 'repository to commit to')
    .option('--cachedir <path>', 'kept between composes: package lists, packages, roots', '/var/cache/atomic/compose')
    .option('--dry-run', 'print the packages it would install, and stop')
    .option('--print-only', 'print the treefile with its includes merged, and stop')
    .option('--force-nocache', 'compose even if nothing changed, with packages installed anew')
    .option('--cache-only', 'do not fetch package lists')
    .option('--parent <revision>', "the commit's parent (default: the ref's tip)")
    .option('--no-parent', 'make a commit without parent')
    .option('--add-metadata-string <key=value>', 'add to the metadata of the commit', collect, [])
    .option('--tree-version <version>', "the tree's version, instead of the treefile's")
    .option('--write-commitid-to <file>', "write the commit's checksum there")
    .option('--write-composejson-to <file>', 'write what was composed there, as JSON')
    .option('--touch-if-changed <file>', 'update the time of this file if there is a new commit')
    .option('--unified-core', 'accepted; there is no other way')
    .addHelpText(
      'after',
      `
The same treefile, packages and timestamp (key 'timestamp', or SOURCE_DATE_EPOCH) give the same commit.

Examples:
  ostree init --repo=repo --mode=archive
  atomic compose tree --repo=repo examples/debian-minimal.yaml
  atomic compose tree --repo=repo --dry-run examples/debian-minimal.yaml
  atomic compose tree --repo=repo --add-metadata-string=version=2026.1 tree.yaml`,
    )
    .action(action(composeTreeAction));
  compose
    .command('image')
    .description('write a bootable disk image with a deployment of a ref')
    .argument('[output]', 'file to write; its ending tells the format')
    .requiredOption('--repo <path>', 'repository with the tree')
    .requiredOption('--ref <ref>', 'tree to deploy')
    .option('-o, --output <file>', 'file to write')
    .option('--format <format>', 'raw or qcow2 (default: by the ending of the file)')
    .option('--size <size>', 'size of the disk, such as 4G', '4G')
    .option('--os <name>', 'name of the stateroot', 'debian')
    .option('--remote-name <name>', 'name of the remote upgrades come from', 'origin')
    .option('--remote-url <url>', 'where upgrades come from')
    .option('--karg <argument>', "kernel argument beyond the tree's own; may be repeated", collect, [])
    .option(
      '--firmware <kind>',
      'firmware the disk starts with, bios or uefi; may be repeated (default: bios; uefi with systemd-boot)',
      collect,
      [],
    )
    .option('--bootloader <name>', 'grub, or systemd-boot (UEFI; /boot is then a partition of its own)', 'grub')
    .option('--boot-size <size>', 'make /boot a partition of its own, of this size (default with systemd-boot: 512M)')
    .addHelpText(
      'after',
      `
Examples:
  atomic compose image --repo=repo --ref=debian/12/amd64/minimal disk.qcow2
  atomic compose image --repo=repo --ref=REF --bootloader=systemd-boot disk.qcow2
  atomic compose image --repo=repo --ref=REF --size=8G --remote-url=http://10.0.2.2:8000 disk.raw`,
    )
    .action(action(composeImageAction));
}

/** SOURCE_DATE_EPOCH: https://reproducible-builds.org/specs/source-date-epoch/ */
async function sourceDateEpoch(): Promise<number | undefined> {
  const text = process.env['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `SOURCE_DATE_EPOCH must be seconds since 1970, but is '${text}'`);
}

async function composeTreeAction(ctx: Context, path: string, options: TreeOptions): Promise<void> {
  const { composeTree, loadTreefile, requireRoot, resolveTree, treefileToJson, writeCommitId } = await import(
    '@atomic/compose'
  );
  const { AtomicError, Repo } = await import('@atomic/ostree');
  const treefile = loadTreefile(path);
  if (options.printOnly === true) return ctx.printJson(treefileToJson(treefile));
  const { signal, progress } = ctx;
  const common = { treefile, cachedir: options.cachedir, cacheOnly: options.cacheOnly, signal, progress };
  if (options.dryRun === true) {
    const packages = await resolveTree(common);
    if (ctx.json) ctx.printJson(packages);
    else for (const p of packages) ctx.print(`${p.name}-${p.version}.${p.architecture}`);
    return;
  }
  requireRoot();
  const metadata = new Map<string, string>();
  for (const pair of options.addMetadataString) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new AtomicError('usage', `--add-metadata-string must be KEY=VALUE, but is '${pair}'`);
    metadata.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const version = options.treeVersion ?? metadata.get('version');
  metadata.delete('version');
  const repo = Repo.open(options.repo);
  const result = await composeTree({
    ...common,
    repo,
    version,
    metadata,
    timestamp: await sourceDateEpoch(),
    parent:
      options.parent === false
        ? null
        : typeof options.parent === 'string'
          ? repo.resolveRev(options.parent)
          : undefined,
    forceNoCache: options.forceNocache,
    wait: ctx.wait,
    onWait: (message) => ctx.onWait(message),
  });
  if (options.writeCommitidTo !== undefined) writeCommitId(options.writeCommitidTo, result.commit);
  const { writeFileSync } = await import('node:fs');
  if (options.writeComposejsonTo !== undefined) {
    const json = {
      ref: result.ref,
      'ostree-commit': result.commit,
      'ostree-version': result.version,
      'ostree-timestamp': new Date(result.timestamp * 1000).toISOString(),
      'ostree-parent-commit': result.parent,
    };
    writeFileSync(options.writeComposejsonTo, `${JSON.stringify(json, null, 2)}\n`);
  }
  if (options.touchIfChanged !== undefined && result.changed) writeFileSync(options.touchIfChanged, '');
  if (ctx.json) return ctx.printJson(result);
  if (!result.changed) {
    ctx.print('No apparent changes since previous commit; use --force-nocache to override');
    return ctx.print(`${result.ref} => ${result.commit}`);
  }
  const phases = Object.entries(result.seconds)
    .map(([phase, s]) => `${phase} ${s} s`)
    .join(', ');
  ctx.print(`Packages: ${result.packages}`);
  if (result.kernel !== undefined) ctx.print(`Kernel: ${result.kernel}`);
  if (result.version !== undefined) ctx.print(`Version: ${result.version}`);
  ctx.print(`Time: ${phases}`);
  ctx.print(`${result.ref} => ${result.commit}`);
}

async function composeImageAction(ctx: Context, output: string | undefined, options: ImageOptions): Promise<void> {
  const { buildImage } = await import('@atomic/compose');
  const { asArray, asString, AtomicError, Repo } = await import('@atomic/ostree');
  const out = output ?? options.output;
  if (out === undefined)
    throw new AtomicError('usage', 'no file to write was named', {
      hint: 'such as: atomic compose image … disk.qcow2',
    });
  const format = options.format ?? (out.endsWith('.qcow2') ? 'qcow2' : 'raw');
  if (format !== 'raw' && format !== 'qcow2')
    throw new AtomicError('usage', `--format must be raw or qcow2, but is '${format}'`);
  const size = parseSize(options.size);
  if (size === undefined)
    throw new AtomicError('usage', `--size must be a number with K, M, G or T, such as 4G, but is '${options.size}'`);
  const firmware = options.firmware.map((kind) => {
    if (kind === 'bios' || kind === 'uefi') return kind;
    throw new AtomicError('usage', `--firmware must be bios or uefi, but is '${kind}'`);
  });
  const { bootloader } = options;
  if (bootloader !== 'grub' && bootloader !== 'systemd-boot')
    throw new AtomicError('usage', `--bootloader must be grub or systemd-boot, but is '${bootloader}'`);
  const bootSize = options.bootSize === undefined ? undefined : parseSize(options.bootSize);
  if (options.bootSize !== undefined && bootSize === undefined)
    throw new AtomicError('usage', `--boot-size must be a size such as 512M, but is '${options.bootSize}'`);
  const repo = Repo.open(options.repo);
  // The tree says which kernel arguments it needs; those named here come after them.
  const own = repo.loadCommit(repo.resolveRev(options.ref)).metadata.get('atomic.kernel-arguments');
  const kargs = [...(own === undefined ? [] : asArray(own.value).map(asString)), ...options.karg];
  const result = await buildImage({
    repo,
    ref: options.ref,
    out,
    format,
    size,
    os: options.os,
    kargs,
    ...(firmware.length === 0 ? {} : { firmware }),
    bootloader,
    bootSize,
    ...(options.remoteUrl === undefined ? {} : { remote: { name: options.remoteName, url: options.remoteUrl } }),
    signal: ctx.signal,
    progress: ctx.progress,
  });
  if (ctx.json) ctx.printJson(result);
  else ctx.print(`${out}: ${options.ref}, ${format}, ${options.size}`);
}

/** Bytes of a size such as 4G or 512M (powers of 1024); undefined for what is none. */
function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)i?B?$/i.exec(text);
  if (match === null) return undefined;
  const power = ['', 'K', 'M', 'G', 'T'].indexOf((match[2] ?? '').toUpperCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}
