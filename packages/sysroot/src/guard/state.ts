import { z } from 'zod';
import { readJson, stateFolder, writeJson } from '../health/files.ts';
import type { DeploymentId } from '../layout.ts';
import type { Sysroot } from '../sysroot.ts';

const id = z.object({ os: z.string(), checksum: z.string().regex(/^[0-9a-f]{64}$/), serial: z.int().min(0) });

const schema = z.object({
  id: z.string(),
  /** Unix time, milliseconds. */
  started: z.number(),
  timeoutSeconds: z.number().positive(),
  command: z.array(z.string()),
  /** What ran when it began. */
  booted: id,
  /** The boot entries at that time, in order, with their arguments and origins. */
  entries: z.array(id.extend({ kargs: z.array(z.string()), origin: z.string().nullable() })),
  staged: id.nullable(),
  /** A shell command for when it was taken back. */
  onRevert: z.string().nullable(),
  /** Reboot when it was taken back. */
  reboot: z.boolean(),
  phase: z.enum(['pending', 'confirmed', 'reverted']),
  /** When it was confirmed or taken back. */
  ended: z.number().nullable(),
  reason: z.string().nullable(),
});

/** A change on trial, as it is kept on disk. */
export type Trying = z.infer<typeof schema>;
export type TryEntry = Trying['entries'][number];

/** Root's alone: it holds a copy of /etc. */
export const tryFolder = (sysroot: Sysroot, os: string): string => `${stateFolder(sysroot, os)}/try`;

export const savedEtc = (sysroot: Sysroot, os: string): string => `${tryFolder(sysroot, os)}/etc`;

/** The last change tried, whatever became of it; null when there is none. */
export function readTrying(sysroot: Sysroot, { os }: Pick<DeploymentId, 'os'>): Trying | null {
  const stored = readJson(`${tryFolder(sysroot, os)}/state.json`, (value) => schema.safeParse(value).data ?? null);
  return stored.kind === 'there' ? stored.value : null;
}

export const writeTrying = (sysroot: Sysroot, os: string, state: Trying): void =>
  writeJson(`${tryFolder(sysroot, os)}/state.json`, state);
