import { AtomicError, runProgram } from '@atomic/ostree';
import { runBounded } from '@atomic/sysroot';
import { z } from 'zod';

/** An image an app runs, as the engine has it. */
export const appImage = z.object({
  /** As the app names it. */
  name: z.string(),
  /** The engine's identifier: what runs does not change when the name is moved. */
  id: z.string(),
  /** `NAME@sha256:…` where it came from a registry. */
  digest: z.string().nullable(),
});
export type AppImage = z.output<typeof appImage>;

/** What apps ask of an engine. */
export interface AppEngine {
  readonly kind: 'docker' | 'podman';
  /** Path of its program, for units. */
  readonly program: string;
  find(image: string): Promise<AppImage | undefined>;
  pull(image: string, signal?: AbortSignal): Promise<void>;
  /** Reads an archive that `save` wrote. */
  load(archive: string, signal?: AbortSignal): Promise<void>;
  tag(image: string, name: string): Promise<void>;
  /** Removes a network, a volume or a name of an image; what is not there, or in use, is no error. */
  forget(what: 'network' | 'volume' | 'image', name: string): Promise<void>;
}

const inspected = z.tuple([z.string(), z.array(z.string()).nullable()]);

/** docker or podman by its own command; `options` go before each verb, such as `-H unix:///run/x.sock`. */
export function commandEngine(kind: 'docker' | 'podman', program: string, options: readonly string[] = []): AppEngine {
  const run = (words: readonly string[], signal?: AbortSignal): Promise<void> =>
    runProgram(program, [...options, ...words], { signal });
  return {
    kind,
    program,
    async find(image) {
      const format = '[{{json .Id}},{{json .RepoDigests}}]';
      const ran = await runBounded(program, [...options, 'image', 'inspect', '--format', format, image], {
        seconds: 60,
        characters: 1 << 16,
      });
      if (ran.kind !== 'exited') throw new AtomicError('failed', `${kind} does not answer`);
      if (ran.code !== 0) {
        if (/no such (image|object)|not known|unable to find|failed to find/i.test(ran.output)) return undefined;
        throw new AtomicError('failed', `${kind} cannot say whether it has ${image}: ${ran.output}`);
      }
      const [id, digests] = inspected.parse(JSON.parse(ran.output.split('\n').at(-1) ?? ''));
      return { name: image, id: id.startsWith('sha256:') ? id : `sha256:${id}`, digest: digests?.[0] ?? null };
    },
    pull: (image, signal) => run(['pull', '-q', image], signal),
    load: (archive, signal) => run(['load', '--input', archive], signal),
    tag: (image, name) => run(['tag', image, name]),
    async forget(what, name) {
      try {
        await run([what, 'rm', name]);
      } catch (error) {
        if (!(error instanceof AtomicError)) throw error;
      }
    },
  };
}

export interface EnsureOptions {
  /** `missing` unless told otherwise. */
  pull?: 'missing' | 'always' | 'never' | undefined;
  signal?: AbortSignal | undefined;
}

/** The images, pulled where they are not there, all before anything changes. Throws with the one that is not to be had. */
export async function ensureImages(
  names: readonly string[],
  engine: AppEngine,
  { pull = 'missing', signal }: EnsureOptions = {},
): Promise<AppImage[]> {
  const images: AppImage[] = [];
  for (const name of names) {
    signal?.throwIfAborted();
    let found = pull === 'always' ? undefined : await engine.find(name);
    if (found === undefined && pull !== 'never') {
      await engine.pull(name, signal);
      found = await engine.find(name);
    }
    if (found === undefined) {
      const hint =
        pull === 'never' ? 'leave out --pull=never, or bring it in the bundle (images/)' : 'is its name right?';
      throw new AtomicError('not-found', `${engine.kind} has no image ${name}`, { hint });
    }
    images.push(found);
  }
  return images;
}
