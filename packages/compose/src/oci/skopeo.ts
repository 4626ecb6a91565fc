import { AtomicError } from '@atomic/ostree';
import { hasTool, run } from '../image/tools.ts';

/** Throws `unsupported` when there is no skopeo, which reaches registries and engines' stores for us. */
export function requireSkopeo(what: string): void {
  if (!hasTool('skopeo'))
    throw new AtomicError('unsupported', `${what} is reached by skopeo, which is not installed`, {
      hint: 'apt-get install skopeo, or use oci-archive:FILE',
    });
}

/** Copy an image from one of skopeo's transports to another. */
export async function skopeoCopy(from: string, to: string, signal?: AbortSignal): Promise<void> {
  await run('skopeo', ['copy', '--quiet', from, to], { signal });
}
