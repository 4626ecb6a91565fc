import { AtomicError } from '@atomic/ostree';
import { runBounded } from '@atomic/sysroot';
import { z } from 'zod';

const inspected = z.tuple([
  z.object({
    Id: z.string(),
    RepoDigests: z.array(z.string()).nullish(),
    Config: z
      .object({
        Labels: z.record(z.string(), z.string()).nullish(),
        Env: z.array(z.string()).nullish(),
        User: z.string().nullish(),
        OnBuild: z.array(z.string()).nullish(),
      })
      .nullish(),
  }),
]);
export type InspectedImage = z.output<typeof inspected>[0];

/**
 * An image by the engine's own command, which needs no socket; undefined when it is not there. Throws `failed` with what
 * the engine said. As JSON whole: docker and podman name fields of templates differently.
 */
export async function inspectByCommand(
  program: string,
  options: readonly string[],
  image: string,
): Promise<InspectedImage | undefined> {
  const words = [...options, 'image', 'inspect', image];
  const ran = await runBounded(program, words, { seconds: 60, characters: 4 << 20 });
  if (ran.kind !== 'exited') throw new AtomicError('failed', `${program} does not answer`);
  if (ran.code === 0) {
    // Warnings may stand before it.
    const start = ran.output.indexOf('[\n');
    return inspected.parse(JSON.parse(ran.output.slice(Math.max(start, 0))))[0];
  }
  if (/no such (image|object)|not known|unable to find|failed to find/i.test(ran.output)) return undefined;
  throw new AtomicError('failed', `${program} cannot say whether it has ${image}: ${ran.output}`);
}
