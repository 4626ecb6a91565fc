import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

// /exports/manifest.json of a system image. `health` is ours; images that do not know it have none.

const path = z.string().regex(/^(?!.*\/\.{1,2}(?:\/|$))\/[^\0]+$/, 'must be an absolute path without . and ..');
const value = z.union([z.string(), z.number(), z.boolean()]).transform(String);

const manifest = z.looseObject({
  version: z.union([z.string(), z.number()]).transform(String).optional(),
  defaultValues: z.record(z.string(), value).default({}),
  /** Files of hostfs in which variables are filled in. */
  installedFilesTemplate: z.array(path).default([]),
  /** Where files of hostfs go instead; variables are filled in. */
  renameFiles: z.record(path, z.string()).default({}),
  /** There are files for the host only, no service. */
  noContainerService: z.boolean().default(false),
  health: z
    .strictObject({
      /** Run inside the container; must end with 0. */
      exec: z.array(z.string()).min(1).optional(),
      http: z.string().optional(),
      tcp: z.string().optional(),
      seconds: z.number().positive().max(86_400).optional(),
      interval: z.number().positive().optional(),
      settle: z.number().nonnegative().optional(),
    })
    .optional(),
});
export type SystemManifest = z.output<typeof manifest>;

/** Reads a manifest; undefined is one that says nothing. Throws `invalid`. */
export function parseManifest(text: string | undefined): SystemManifest {
  let json: unknown = {};
  try {
    if (text !== undefined) json = JSON.parse(text);
  } catch (cause) {
    throw new AtomicError('invalid', `manifest.json of the image is not JSON: ${String(cause)}`, { cause });
  }
  const result = manifest.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AtomicError('invalid', `manifest.json of the image: ${issue?.path.join('.')}: ${issue?.message}`);
}
