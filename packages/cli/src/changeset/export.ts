import type { LayerCompression, SysextFormat } from '@atomic/ostree';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { type DbOptions, openSource } from '../db/common.ts';
import { add, withRepo } from './common.ts';

interface ExportOptions extends DbOptions {
  output: string;
  format?: string;
  compression?: string;
  name?: string;
  whiteouts?: boolean;
  leaveOut?: boolean;
}

const FORMATS = ['layer', 'sysext-directory', 'sysext-erofs', 'sysext-squashfs'];

/** Adds `atomic changeset export`. */
export function register(changeset: Command): void {
  const verb = add(
    changeset,
    'export',
    'write what makes one commit from another as an OCI layer or a system extension',
    [
      'atomic changeset export --repo=repo REF REF-with-tools -o tools.tar.gz    an OCI layer',
      'atomic changeset export --repo=repo REF REF-with-tools -o tools.raw       a system extension (EROFS)',
      'atomic changeset export booted REF --format=sysext-directory -o /var/lib/extensions/tools',
    ],
  );
  withRepo(verb)
    .argument('<from>', 'commit, or deployment (booted, pending, rollback, its number)')
    .argument('<to>', 'commit or deployment')
    .requiredOption('-o, --output <file>', 'file to write (a directory for sysext-directory)')
    .option('--format <format>', `${FORMATS.join(', ')} (default: sysext-erofs for a name in .raw, else layer)`)
    .option('--compression <kind>', 'of a layer: none, gzip or zstd (default: by the ending of the file)')
    .option('--name <name>', 'of the extension (default: that of the file)')
    .option('--whiteouts', 'extensions: hide removed files by overlayfs whiteouts instead of refusing them')
    .option('--leave-out', 'extensions: leave out what is not in /usr or /opt instead of refusing it')
    .addHelpText(
      'after',
      `
A layer is for images whose layers below are the tree of FROM; what it prints goes into the image's manifest and
configuration. An extension is for machines that run FROM: put it into /var/lib/extensions (an image by the extension's
name and .raw) and run systemd-sysext merge.`,
    )
    .action(action(run));
}

async function run(ctx: Context, from: string, to: string, options: ExportOptions): Promise<void> {
  const { AtomicError } = await import('@atomic/ostree');
  const source = await openSource(options);
  const [before, after] = [source.resolve(from), source.resolve(to)];
  const { output } = options;
  const format = options.format ?? (output.endsWith('.raw') ? 'sysext-erofs' : 'layer');
  if (!FORMATS.includes(format))
    throw new AtomicError('usage', `--format must be one of ${FORMATS.join(', ')}, but is '${format}'`);
  const { repo } = source;
  const { signal } = ctx;
  if (format === 'layer') {
    const { changesetBetween, exportLayer } = await import('@atomic/ostree');
    const compression = compressionOf(options.compression ?? endingOf(output));
    if (compression === null)
      throw new AtomicError('usage', `--compression must be none, gzip or zstd, but is '${options.compression}'`);
    const changes = changesetBetween(repo, before, after, { parents: true, signal });
    const { timestamp } = repo.loadCommit(after);
    const written = await exportLayer(repo, changes, output, { compression, timestamp, signal });
    if (ctx.json) return ctx.printJson({ output, ...written });
    ctx.print(`diff_id: sha256:${written.diffId}`);
    ctx.print(`digest: sha256:${written.digest}`);
    ctx.print(`size: ${written.size}`);
    return ctx.print(`mediaType: ${written.mediaType}`);
  }
  const { exportSysext } = await import('@atomic/ostree');
  const { name, whiteouts, leaveOut } = options;
  const kind = sysextFormat(format);
  const written = await exportSysext(repo, before, after, { output, format: kind, name, whiteouts, leaveOut, signal });
  if (ctx.json) return ctx.printJson({ output, ...written });
  for (const path of written.leftOut) ctx.warn(`left out: ${path}`);
  const release = Object.entries(written.release).map(([key, value]) => `${key}=${value}`);
  ctx.print(`${output}: extension ${written.name} for ${release.join(' ')}, ${written.files} files`);
}

const endingOf = (path: string): string => {
  if (/\.(gz|tgz)$/.test(path)) return 'gzip';
  return /\.(zst|tzst)$/.test(path) ? 'zstd' : 'none';
};
const compressionOf = (text: string): LayerCompression | null =>
  text === 'none' || text === 'gzip' || text === 'zstd' ? text : null;
const sysextFormat = (format: string): SysextFormat => {
  if (format === 'sysext-directory') return 'directory';
  return format === 'sysext-squashfs' ? 'squashfs' : 'erofs';
};
