import { AtomicError, runProgram } from '@atomic/ostree';
import { z } from 'zod';
import { inspectByCommand } from '../engines/inspect-image.ts';
import type { QuadletEngine, Surroundings } from '../quadlet/convert/conversion.ts';

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
  readonly kind: QuadletEngine;
  /** For people: where its images are. */
  readonly title: string;
  /** What its units are made for. */
  readonly surroundings: Pick<Surroundings, 'program' | 'runtime' | 'state' | 'ignores'>;
  find(image: string): Promise<AppImage | undefined>;
  pull(image: string, signal?: AbortSignal): Promise<void>;
  /** Reads an archive that `save` wrote. */
  load(archive: string, signal?: AbortSignal): Promise<void>;
  tag(image: string, name: string): Promise<void>;
  /** Removes a network, a volume or a name of an image; what is not there, or in use, is no error. */
  forget(what: 'network' | 'volume' | 'image', name: string): Promise<void>;
  /** What a person does to remove volumes. */
  volumeRemoval(names: readonly string[]): string;
}

export interface CommandEngineOptions {
  /** Words before each verb, such as `-H unix:///run/x.sock`. */
  words?: readonly string[] | undefined;
  ignores?: Surroundings['ignores'];
  /** Decides on an image before an engine that knows no policy fetches it; returns the name with its digest. */
  judge?: ((image: string) => Promise<string>) | undefined;
}

/** docker or podman by its own command. */
export function commandEngine(
  kind: 'docker' | 'podman',
  program: string,
  { words: options = [], ignores, judge }: CommandEngineOptions = {},
): AppEngine {
  const run = (words: readonly string[], signal?: AbortSignal): Promise<void> =>
    runProgram(program, [...options, ...words], { signal });
  return {
    kind,
    title: kind,
    surroundings: { program, ignores },
    async find(image) {
      const found = await inspectByCommand(program, options, image);
      if (found === undefined) return undefined;
      const id = found.Id.startsWith('sha256:') ? found.Id : `sha256:${found.Id}`;
      return { name: image, id, digest: found.RepoDigests?.[0] ?? null };
    },
    async pull(image, signal) {
      const judged = judge === undefined ? image : await judge(image);
      await run(['pull', '-q', judged], signal);
      // The tag may move between the decision and the fetching.
      if (judged !== image && !image.includes('@')) await run(['tag', judged, image]);
    },
    load: (archive, signal) => run(['load', '--input', archive], signal),
    tag: (image, name) => run(['tag', image, name]),
    async forget(what, name) {
      try {
        await run([what, 'rm', name]);
      } catch (error) {
        if (!(error instanceof AtomicError)) throw error;
      }
    },
    volumeRemoval: (names) => [kind, 'volume', 'rm', ...names].join(' '),
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
      throw new AtomicError('not-found', `${engine.title} has no image ${name}`, { hint });
    }
    images.push(found);
  }
  return images;
}
