import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { type ImageReference, parseImageName } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { fullName } from './full-name.ts';
import type { ImageIdentity } from './rules/applicable.ts';
import { type Decision, decide } from './rules/decide.ts';
import { loadPolicy } from './rules/load-policy.ts';
import { type ImageSignatures, noSignatures } from './signatures/blob.ts';
import { addReadable } from './signatures/image-signatures.ts';
import type { TrustPaths } from './trust-paths.ts';

/** Where an image is that is in no registry. */
export type LocalReference = Exclude<ImageReference, { transport: 'docker' }>;

/** What policy is asked about for it: its path, or its name in an engine. */
export function localIdentity(reference: LocalReference): ImageIdentity {
  const { transport } = reference;
  if (transport === 'dir') return { transport, path: reference.name };
  if ('path' in reference) return { transport, path: reference.path };
  return { transport, name: nameInEngine(reference.name) };
}

function nameInEngine(text: string): ImageIdentity['name'] {
  try {
    return fullName(parseImageName(text));
  } catch {
    // An identifier; only the transport's default can hold for it.
    return undefined;
  }
}

/**
 * Decides on an image that is in no registry. Of those only `dir:` has signatures, as files in its folder, where its
 * manifest is read, too; `ask` gives that of any other.
 */
export async function judgeLocalImage(
  reference: LocalReference,
  ask: () => Promise<Uint8Array>,
  paths: TrustPaths,
  signal?: AbortSignal,
): Promise<Decision> {
  const identity = localIdentity(reference);
  const isDir = reference.transport === 'dir';
  const manifest = isDir ? await readIn(reference.name, 'manifest.json') : await ask();
  const signatures = async () => (isDir ? await dirSignatures(reference.name) : noSignatures());
  return await decide(loadPolicy(paths.policy), { ...identity, manifest, signatures }, signal);
}

async function readIn(folder: string, name: string): Promise<Buffer> {
  try {
    return await readFile(join(folder, name));
  } catch (cause) {
    throw new AtomicError('not-found', `dir:${folder} has no ${name}`, { cause });
  }
}

async function dirSignatures(folder: string): Promise<ImageSignatures> {
  const all = noSignatures();
  for (let index = 1; ; index++) {
    try {
      addReadable(all, await readFile(join(folder, `signature-${index}`)));
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') return all;
      throw error;
    }
  }
}
