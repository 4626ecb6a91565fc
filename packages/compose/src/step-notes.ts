import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { z } from 'zod';
import { managerFor } from './choose-manager.ts';
import type { PackageManager } from './packages/manager.ts';
import { emptyTreefile, loadTreefile } from './treefile/load-treefile.ts';
import type { Treefile } from './treefile/treefile.ts';

const NOTES = 'compose.json';
const notesSchema = z.object({
  inputHash: z.string().optional(),
  version: z.string().optional(),
  variables: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  disableSelinux: z.boolean().optional(),
  sourceRoot: z.string().optional(),
  proxy: z.string().optional(),
  lock: z
    .object({
      packages: z.array(
        z.object({
          name: z.string(),
          evr: z.string(),
          architecture: z.string().optional(),
          digest: z.string().optional(),
        }),
      ),
      strict: z.boolean(),
    })
    .optional(),
});

/** What the first step of a compose tells the steps that follow: what it made, and how it was called. */
export type StepNotes = z.output<typeof notesSchema>;

const notesPath = (rootfs: string): string => join(dirname(resolve(rootfs)), NOTES);

/** Leaves notes beside a root. A proxy's password may be among them. */
export function writeNotes(rootfs: string, notes: StepNotes): void {
  replaceFile(notesPath(rootfs), `${JSON.stringify(notes, null, 2)}\n`, { mode: 0o600 });
}

/** Reads the notes beside a root; undefined for one that was made otherwise. */
export function readNotes(rootfs: string): StepNotes | undefined {
  const path = notesPath(rootfs);
  if (!existsSync(path)) return undefined;
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    data = undefined;
  }
  const found = notesSchema.safeParse(data);
  if (found.success) return found.data;
  throw new AtomicError('invalid', `${path} is not what compose install leaves there`, {
    hint: 'run compose install again, or remove it to go on without what install was told',
  });
}

/** Reads a treefile as the first step did; without a path, one that says nothing. */
export function treefileOf(rootfs: string, path: string | undefined): Treefile {
  const { variables = {}, ...options } = readNotes(rootfs) ?? {};
  return path === undefined ? emptyTreefile(options) : loadTreefile(path, new Map(Object.entries(variables)), options);
}

/** The package manager of the first step. */
export function managerOf(
  treefile: Treefile,
  cachedir: string,
  { lock, sourceRoot, proxy }: StepNotes = {},
): PackageManager {
  return managerFor(treefile, cachedir, { lockfileRepos: lock !== undefined, sourceRoot, proxy });
}
