import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArchiveFiles, FolderFiles, type ImageFiles } from './archive-files.ts';
import { formatImageReference, type ImageReference } from './image-reference.ts';
import { LayoutSource } from './layout-source.ts';
import type { RegistryOptions } from './registry/exchange.ts';
import { skopeoCopy } from './skopeo.ts';
import { type ImageSource, type Platform, thisPlatform } from './source.ts';

export interface OpenSourceOptions {
  /** Of which image in a list; this machine's by default. */
  platform?: Platform | undefined;
  /** Folder for what must be unpacked or copied first; the system's for temporary files by default. */
  scratch?: string | undefined;
  /**
   * What /etc/containers/policy.json says of an image that others vouch for: `enforced` refuses those it does not accept,
   * wherever they are, `ignored` takes them all. Default: what skopeo reaches has to be accepted.
   */
  policy?: 'enforced' | 'ignored' | undefined;
  /** Credentials for registries (containers-auth.json(5)); skopeo's own by default. */
  authFile?: string | undefined;
  /** How registries are reached; by skopeo, as it is set up, when this is not said. */
  registry?: RegistryOptions | undefined;
  /** Where the engine listens whose images are read. */
  socketPath?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Open an image to be read. Throws `not-found`, `corrupt`, `unsupported` (what only skopeo reaches, without it). */
export async function openSource(reference: ImageReference, options: OpenSourceOptions = {}): Promise<ImageSource> {
  const name = formatImageReference(reference);
  const platform = options.platform ?? thisPlatform();
  if (options.policy === 'enforced') return new LayoutSource(name, await copied(name, options), undefined, platform);
  switch (reference.transport) {
    case 'oci':
      return new LayoutSource(name, new FolderFiles(reference.path), reference.tag, platform);
    case 'oci-archive':
      return new LayoutSource(name, await ArchiveFiles.open(reference.path, options), reference.tag, platform);
    case 'docker-archive': {
      const { DockerArchiveSource } = await import('./docker-archive-source.ts');
      return new DockerArchiveSource(name, await ArchiveFiles.open(reference.path, options), reference.name);
    }
    case 'docker-daemon': {
      const { DockerArchiveSource } = await import('./docker-archive-source.ts');
      const { saveFromDaemon } = await import('./docker-daemon.ts');
      const files = await saveFromDaemon(reference.name, { ...options, socketPath: options.socketPath });
      return new DockerArchiveSource(name, files, undefined);
    }
    case 'docker': {
      if (options.registry === undefined) break;
      const { RegistrySource } = await import('./registry/registry-source.ts');
      return new RegistrySource(
        reference.name,
        [{ name: reference.name, options: { ...options.registry, signal: options.signal } }],
        platform,
      );
    }
  }
  return new LayoutSource(name, await copied(name, options), undefined, platform);
}

/** What only skopeo reaches is copied by it to a layout that disposing removes. */
async function copied(name: string, { scratch, policy, authFile, signal }: OpenSourceOptions): Promise<ImageFiles> {
  const folder = await mkdtemp(join(scratch ?? tmpdir(), 'atomic-oci-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await skopeoCopy(name, `oci:${folder}`, { policy, authFile, signal });
  } catch (error) {
    await remove();
    throw error;
  }
  const files = new FolderFiles(folder);
  return { stream: (path) => files.stream(path), [Symbol.asyncDispose]: remove };
}
