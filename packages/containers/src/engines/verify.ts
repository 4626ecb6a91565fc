import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { AtomicError, archiveEntries } from '@atomic/ostree';
import { z } from 'zod';
import type { ImageBackend, OperationOptions, VerifyReport } from '../backends/backend.ts';
import type { EngineApi } from './api.ts';

const savedManifest = z.array(z.object({ Config: z.string(), Layers: z.array(z.string()) })).min(1);
/** Descriptions in an archive are smaller than this; larger files are layers. */
const MAX_JSON = 4 << 20;

interface Archived {
  sha256: string;
  /** Of small files, the bytes. */
  bytes: Buffer | undefined;
}

/** Reads an archive of `save`, hashing each file of it. */
async function hashArchive(stream: AsyncIterable<Uint8Array>): Promise<Map<string, Archived>> {
  const files = new Map<string, Archived>();
  for await (const entry of archiveEntries(stream)) {
    if (entry.type === 'symlink' || entry.type === 'hardlink') {
      const target = entry.type === 'symlink' ? posix.join(posix.dirname(entry.path), entry.target) : entry.target;
      const found = files.get(posix.normalize(target));
      if (found !== undefined) files.set(posix.normalize(entry.path), found);
      continue;
    }
    if (entry.type !== 'file') continue;
    const hash = createHash('sha256');
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry.content) {
      hash.update(chunk);
      if (entry.size <= MAX_JSON) chunks.push(chunk);
    }
    const bytes = entry.size <= MAX_JSON ? Buffer.concat(chunks) : undefined;
    files.set(posix.normalize(entry.path), { sha256: `sha256:${hash.digest('hex')}`, bytes });
  }
  return files;
}

/**
 * Hashes each layer of an image as the engine hands it out, and its configuration: whether they are still what their
 * digests say.
 */
export async function verifyEngineImage(
  backend: ImageBackend,
  api: EngineApi,
  image: string,
  { signal }: OperationOptions,
): Promise<VerifyReport> {
  const details = await backend.find(image);
  if (details === undefined) throw new AtomicError('not-found', `${backend.name} has no image '${image}'`);
  const path = `/images/${image.split('/').map(encodeURIComponent).join('/')}/get`;
  const files = await hashArchive(await api.stream('GET', path, { signal }));
  const problems: string[] = [];
  const checked: string[] = [];
  const saved = savedManifest.safeParse(JSON.parse(files.get('manifest.json')?.bytes?.toString('utf8') ?? 'null'));
  if (!saved.success) throw new AtomicError('corrupt', `${backend.name} hands out '${image}' without a manifest`);
  const [{ Config, Layers } = { Config: '', Layers: [] }] = saved.data;
  const config = files.get(posix.normalize(Config))?.sha256;
  if (config === details.id) checked.push(`configuration ${details.id}`);
  else problems.push(`the configuration is ${config ?? 'missing'}, not ${details.id}`);
  if (Layers.length !== details.diffIds.length) {
    problems.push(`there are ${Layers.length} layers, not ${details.diffIds.length}`);
  }
  for (const [index, diffId] of details.diffIds.entries()) {
    const found = files.get(posix.normalize(Layers[index] ?? ''))?.sha256;
    if (found === diffId) checked.push(`layer ${diffId}`);
    else problems.push(`layer ${index + 1} is ${found ?? 'missing'}, not ${diffId}`);
  }
  return { image, backend: backend.name, good: problems.length === 0, outdated: undefined, problems, checked };
}
