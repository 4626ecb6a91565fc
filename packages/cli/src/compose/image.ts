import type { BuildImageOptions, BuildImageResult, HostRemote, ImageFormat } from '@atomic/compose';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { collect, parseSize } from './common.ts';
import type { FormatOptions } from './image-format.ts';

interface ImageOptions extends FormatOptions {
  repo: string;
  ref: string;
  output?: string;
}

/** `atomic compose image`. */
export function register(compose: Command): void {
  compose
    .command('image')
    .description('write a disk image, installation medium, network boot set or archive of a ref')
    .argument('[output]', 'file to write (pxe: folder); its ending tells the format')
    .requiredOption('--repo <path>', 'repository with the tree')
    .requiredOption('--ref <ref>', 'tree to deploy')
    .option('-o, --output <file>', 'file to write')
    .option('--format <format>', 'raw, qcow2, vmdk, ova, iso, pxe or tar (default: by the ending of the file)')
    .option('--size <size>', 'size of the disk (default: 4G)')
    .option('--os <name>', 'name of the stateroot (default: debian)')
    .option('--remote-name <name>', 'name of the remote upgrades come from (default: origin)')
    .option('--remote-url <url>', 'where upgrades come from')
    .option('--gpg-import <file>', 'GPG key that the commits of upgrades have to be signed by')
    .option(
      '--sign-verify <KEYTYPE=[inline|file]:PUBKEY>',
      'key (ed25519, spki) that they have to be signed by; file: is a path of the host; may be repeated',
      collect,
    )
    .option('--karg <argument>', "kernel argument beyond the tree's own; may be repeated", collect)
    .option(
      '--firmware <kind>',
      'firmware the disk starts with, bios or uefi; may be repeated (default: bios; uefi with systemd-boot)',
      collect,
    )
    .option('--bootloader <name>', 'grub (default), or systemd-boot (UEFI; /boot is then a partition of its own)')
    .option('--boot-size <size>', 'make /boot a partition of its own, of this size (default with systemd-boot: 512M)')
    .option(
      '--install-config <file>',
      'with iso and pxe: how machines are to be installed, unattended (docs/images.md)',
    )
    .addHelpText(
      'after',
      `
Formats: raw, qcow2 (QEMU), vmdk (VMware) and ova (an appliance) are disks; iso starts from a CD or a stick, and with
--install-config installs the tree on the machine's disk; pxe is a folder with kernel, initramfs and root image for
starting over the network, which installs with --install-config as well; tar (also .tar.gz, .tar.zst) is a root file system.
A file without an ending, or with .img, is raw; of other endings the format has to be said.

Examples:
  atomic compose image --repo=repo --ref=debian/12/amd64/minimal disk.qcow2
  atomic compose image --repo=repo --ref=REF --bootloader=systemd-boot disk.qcow2
  atomic compose image --repo=repo --ref=REF --size=8G --remote-url=http://10.0.2.2:8000 disk.raw
  atomic compose image --repo=repo --ref=REF --install-config=install.yaml installer.iso
  atomic compose image --repo=repo --ref=REF --format=pxe /srv/tftp/os`,
    )
    .action(action(composeImageAction));
  compose
    .command('install-disk')
    .description("install this live system's tree on a disk of the machine; an installation medium runs it")
    .option('--config <file>', "instead of the medium's")
    .option('--medium <folder>', 'where the medium is mounted')
    .addHelpText(
      'after',
      '\nAll that is on the disk is lost.\n\nExample:\n  atomic compose install-disk --config=/run/install.yaml',
    )
    .action(action(installDiskAction));
}

const SIZE = '4G';

async function composeImageAction(ctx: Context, output: string | undefined, options: ImageOptions): Promise<void> {
  const { chooseFormat } = await import('./image-format.ts');
  const { IMAGE_FORMATS, treeKargs } = await import('@atomic/compose');
  const { AtomicError, Repo } = await import('@atomic/ostree');
  const out = output ?? options.output;
  if (out === undefined)
    throw new AtomicError('usage', 'no file to write was named', {
      hint: 'such as: atomic compose image … disk.qcow2',
    });
  const format = chooseFormat(out, options, IMAGE_FORMATS);
  const repo = Repo.open(options.repo);
  const { ref, os = 'debian', remoteName = 'origin', remoteUrl } = options;
  const { signal, progress } = ctx;
  const common = { repo, ref, out, os, signal, progress };
  // The tree says which kernel arguments it needs; those named here come after them.
  const kargs = [...treeKargs(repo, repo.resolveRev(ref)), ...(options.karg ?? [])];
  const remote =
    remoteUrl === undefined ? {} : { remote: { name: remoteName, url: remoteUrl, ...(await keysOf(options)) } };
  if (format === 'tar') {
    const { writeRootTar } = await import('@atomic/compose');
    const result = await writeRootTar(common);
    return ctx.json ? ctx.printJson(result) : ctx.print(`${out}: ${ref}, tar, ${megabytes(result.size)}`);
  }
  if (format === 'pxe') {
    const { buildPxe, readInstallConfig } = await import('@atomic/compose');
    const config = options.installConfig === undefined ? undefined : readInstallConfig(options.installConfig);
    const result = await buildPxe({ ...common, kargs, ...remote, config });
    const size = Object.values(result.sizes).reduce((sum, one) => sum + one, 0);
    return ctx.json ? ctx.printJson(result) : ctx.print(`${out}: ${ref}, pxe, ${megabytes(size)}`);
  }
  if (format === 'iso') {
    const { buildIso, readInstallConfig } = await import('@atomic/compose');
    const config = options.installConfig === undefined ? undefined : readInstallConfig(options.installConfig);
    const result = await buildIso({ ...common, kargs, config });
    return ctx.json ? ctx.printJson(result) : ctx.print(`${out}: ${ref}, iso, ${megabytes(result.size)}`);
  }
  const result = await writeDisk(options, format, { ...common, kargs, ...remote });
  if (ctx.json) ctx.printJson(result);
  else ctx.print(`${out}: ${ref}, ${format}, ${options.size ?? SIZE}`);
}

/** What vouches for upgrades. */
async function keysOf({ gpgImport, signVerify }: FormatOptions): Promise<Pick<HostRemote, 'gpgKeys' | 'signVerify'>> {
  const { signVerifySettings } = await import('@atomic/compose');
  const { AtomicError } = await import('@atomic/ostree');
  const { readFile } = await import('node:fs/promises');
  signVerifySettings(signVerify ?? []);
  if (gpgImport === undefined) return { signVerify };
  const key = await readFile(gpgImport).catch((cause: unknown) => {
    throw new AtomicError('not-found', `cannot read the GPG key ${gpgImport}`, { cause });
  });
  return { signVerify, gpgKeys: [key] };
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

async function writeDisk(
  options: ImageOptions,
  format: ImageFormat,
  common: Omit<BuildImageOptions, 'format' | 'size'>,
): Promise<BuildImageResult> {
  const { buildImage } = await import('@atomic/compose');
  const { AtomicError } = await import('@atomic/ostree');
  const size = parseSize(options.size ?? SIZE);
  if (size === undefined)
    throw new AtomicError('usage', `--size must be a number with K, M, G or T, such as 4G, but is '${options.size}'`);
  const firmware = options.firmware?.map((kind) => {
    if (kind === 'bios' || kind === 'uefi') return kind;
    throw new AtomicError('usage', `--firmware must be bios or uefi, but is '${kind}'`);
  });
  const { bootloader = 'grub' } = options;
  if (bootloader !== 'grub' && bootloader !== 'systemd-boot')
    throw new AtomicError('usage', `--bootloader must be grub or systemd-boot, but is '${bootloader}'`);
  const bootSize = options.bootSize === undefined ? undefined : parseSize(options.bootSize);
  if (options.bootSize !== undefined && bootSize === undefined)
    throw new AtomicError('usage', `--boot-size must be a size such as 512M, but is '${options.bootSize}'`);
  return await buildImage({ ...common, format, size, firmware, bootloader, bootSize });
}

async function installDiskAction(ctx: Context, options: { config?: string; medium?: string }): Promise<void> {
  const { installDisk, MEDIUM_CONFIG, MEDIUM_FOLDER, readInstallConfig, readMediumTree } = await import(
    '@atomic/compose'
  );
  const { Repo } = await import('@atomic/ostree');
  const { join } = await import('node:path');
  const { execFileSync } = await import('node:child_process');
  const medium = options.medium ?? MEDIUM_FOLDER;
  const config = readInstallConfig(options.config ?? join(medium, MEDIUM_CONFIG));
  const tree = readMediumTree(medium);
  const { signal, progress } = ctx;
  const result = await installDisk({ repo: Repo.open('/ostree/repo'), tree, config, medium, signal, progress });
  if (ctx.json) ctx.printJson(result);
  else ctx.print(`Installed ${tree.ref}${result.version === undefined ? '' : ` ${result.version}`} on ${result.disk}`);
  if (config.finally !== 'nothing') execFileSync('systemctl', ['--no-block', config.finally], { stdio: 'ignore' });
}
