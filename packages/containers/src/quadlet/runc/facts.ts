import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

const schema = z.object({
  image: z.string(),
  digest: z.string(),
  runtime: z.string(),
  /** The unit that runs it. */
  unit: z.string().nullable(),
  /** ISO 8601. */
  created: z.string(),
});

/** What a bundle is of, for those who list what runs. */
export type BundleFacts = z.infer<typeof schema>;

const FILE = 'atomic.json';

export const writeBundleFacts = (folder: string, facts: BundleFacts): void =>
  writeFileSync(join(folder, FILE), `${JSON.stringify(facts)}\n`);

/** Null where there are none: it is being made, or what made it was cut off. */
export function readBundleFacts(folder: string): BundleFacts | null {
  try {
    return schema.parse(JSON.parse(readFileSync(join(folder, FILE), 'utf8')));
  } catch {
    return null;
  }
}
