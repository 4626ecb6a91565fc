import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { EMULATED_KARGS } from '@atomic/vm';
import { z } from 'zod';
import { command, type HostOptions, ROOT } from './host.ts';

const Composed = z.object({
  ref: z.string(),
  commit: z.string(),
  version: z.string(),
  changed: z.boolean(),
  packages: z.number(),
  kernel: z.string().optional(),
  seconds: z.record(z.string(), z.number()),
});
export type Composed = z.infer<typeof Composed>;

const Image = z.object({
  out: z.string(),
  allocated: z.number(),
  size: z.number(),
  seconds: z.record(z.string(), z.number()),
});
export type Image = z.infer<typeof Image>;

export interface TreesOptions extends HostOptions {
  /** Folder of the repository. */
  repo: string;
  /** Kept between runs: package lists, packages, roots. */
  cachedir: string;
}

/** Make the repository, once. */
export async function initRepo(options: TreesOptions): Promise<void> {
  await mkdir(options.cachedir, { recursive: true });
  if (!existsSync(join(options.repo, 'config')))
    await command('ostree', ['init', `--repo=${options.repo}`, '--mode=archive'], options);
}

/**
 * Compose one version of the demonstration's tree. The first has no parent and the second has the first, so running
 * this again in the same repository gives the same two commits.
 */
export async function composeVersion(version: 1 | 2, parent: string | null, options: TreesOptions): Promise<Composed> {
  const args = [
    ...['--json', 'compose', 'tree', `--repo=${options.repo}`, `--cachedir=${options.cachedir}`],
    parent === null ? '--no-parent' : `--parent=${parent}`,
    join(ROOT, `examples/demo-v${version}.yaml`),
  ];
  return Composed.parse(JSON.parse(await command('atomic', args, options)));
}

/** Write the disk image that deploys `ref` and upgrades itself from `url`. */
export async function writeImage(out: string, ref: string, url: string, options: TreesOptions): Promise<Image> {
  const args = [
    ...['--json', 'compose', 'image', `--repo=${options.repo}`, `--ref=${ref}`],
    ...['--size=3G', `--remote-url=${url}`, ...EMULATED_KARGS.map((karg) => `--karg=${karg}`), out],
  ];
  return Image.parse(JSON.parse(await command('atomic', args, options)));
}
