import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { collect, parseSize } from './common.ts';

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

/** `atomic compose image`. */
export function register(compose: Command): void {
  compose
    .command('image')
    .description('write a bootable disk image with a deployment of a ref')
    .argument('[output]', 'file to write; its ending tells the format')
    .requiredOption('--repo <path>', 'repository with the tree')
    .requiredOption('--ref <ref>', 'tree to deploy')
    .option('-o, --output <file>', 'file to write')
    .option('--format <format>', 'raw, qcow2, vmdk or ova (default: by the ending of the file)')
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

async function composeImageAction(ctx: Context, output: string | undefined, options: ImageOptions): Promise<void> {
  const { buildImage, IMAGE_FORMATS } = await import('@atomic/compose');
  const { asArray, asString, AtomicError, Repo } = await import('@atomic/ostree');
  const out = output ?? options.output;
  if (out === undefined)
    throw new AtomicError('usage', 'no file to write was named', {
      hint: 'such as: atomic compose image … disk.qcow2',
    });
  const named = options.format ?? IMAGE_FORMATS.find((one) => out.endsWith(`.${one}`)) ?? 'raw';
  const format = IMAGE_FORMATS.find((one) => one === named);
  if (format === undefined)
    throw new AtomicError('usage', `--format must be one of ${IMAGE_FORMATS.join(', ')}, but is '${named}'`);
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
