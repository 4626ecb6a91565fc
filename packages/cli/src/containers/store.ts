import type { ImageStore, PullRequest, StoreImages, StorePlace } from '@atomic/containers';
import type { Context } from '../context.ts';
import { type Places, places } from './places.ts';
import { type RegistryAccessOptions, registryAccess } from './registry-access.ts';
import { pathsOf, type TrustPathOptions } from './trust/common.ts';

/** The image store of whoever calls: root's is the system's repository, where there is one. */
export async function openStore(at: Places = places()): Promise<ImageStore> {
  await ensureStoreWritable();
  const { openImageStore } = await import('@atomic/containers');
  return openImageStore(placeOf(at));
}

/**
 * Where the system's repository is on a /sysroot that is mounted read-only, makes it writable for this command alone, which
 * then starts anew: to be called before anything is locked or changed.
 */
export async function ensureStoreWritable(): Promise<void> {
  if (process.env['ATOMIC_OSTREE_REPO'] !== undefined || process.getuid?.() !== 0) return;
  const { ensureWritable } = await import('../ostree/admin/namespace.ts');
  await ensureWritable('/');
}

const placeOf = (at: Places): StorePlace => ({
  user: process.getuid?.() !== 0,
  systemRepo: process.env['ATOMIC_OSTREE_REPO'],
  state: at.state,
});

/** The image store among the backends that have images. */
export async function storeImages(at: Places = places()): Promise<StoreImages> {
  const { StoreImages, findImageStore, openImageStore } = await import('@atomic/containers');
  return new StoreImages(
    (create) => (create ? openImageStore : findImageStore)(placeOf(at)),
    () => reachOf({}),
  );
}

export type ReachOptions = RegistryAccessOptions & TrustPathOptions & { platform?: string };

/** How registries and engines are reached, by the options of a verb, the configuration and the environment. */
export async function reachOf(
  options: ReachOptions,
): Promise<Pick<PullRequest, 'paths' | 'access' | 'socketPath' | 'platform'>> {
  const host = process.env['DOCKER_HOST'];
  return {
    paths: await pathsOf(options),
    access: await registryAccess(options),
    socketPath: host?.startsWith('unix://') ? host.slice('unix://'.length) : undefined,
    platform: await platformOf(options.platform),
  };
}

async function platformOf(text: string | undefined): Promise<PullRequest['platform']> {
  if (text === undefined) return undefined;
  const [os = '', architecture = '', variant, ...more] = text.split('/');
  if (os !== '' && architecture !== '' && more.length === 0) return { os, architecture, variant };
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `--platform ${text}: must be OS/ARCHITECTURE[/VARIANT]`, {
    hint: 'such as linux/arm64',
  });
}

/** Asks on the terminal which of several images a short name means; undefined when there is no terminal. */
export function chooser(ctx: Context): PullRequest['choose'] {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  return async (names) => {
    const { createInterface } = await import('node:readline/promises');
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      for (const [i, name] of names.entries()) ctx.warn(`  ${i + 1}  ${name}`);
      const answer = await lines.question('which of them? ', { signal: ctx.signal });
      const at = Number(answer.trim());
      return Number.isInteger(at) && at >= 1 && at <= names.length ? at - 1 : undefined;
    } finally {
      lines.close();
    }
  };
}
