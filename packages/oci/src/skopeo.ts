import { AtomicError, runProgram } from '@atomic/ostree';

async function skopeo(what: string, args: readonly string[], signal?: AbortSignal): Promise<void> {
  try {
    await runProgram('skopeo', args, { signal });
  } catch (error) {
    if (!(error instanceof AtomicError && error.code === 'not-found')) throw error;
    throw new AtomicError('unsupported', `${what} is reached by skopeo, which is not installed`, {
      hint: 'apt-get install skopeo, or use oci-archive:FILE',
      cause: error,
    });
  }
}

/** Throws `unsupported` when there is no skopeo, which reaches some engines' stores for us. */
export const requireSkopeo = (what: string): Promise<void> => skopeo(what, ['--version']);

export interface SkopeoCopyOptions {
  /** Of /etc/containers/policy.json; by default it counts for what is read. */
  policy?: 'enforced' | 'ignored' | undefined;
  authFile?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** Copy an image from one of skopeo's transports to another, but for its signatures, which a layout has no place for. */
export const skopeoCopy = (from: string, to: string, options: SkopeoCopyOptions = {}): Promise<void> =>
  skopeo(
    from.startsWith('oci:') ? to : from,
    [
      ...(options.policy === 'ignored' ? ['--insecure-policy'] : []),
      ...['copy', '--quiet', '--remove-signatures'],
      ...(options.authFile === undefined ? [] : ['--authfile', options.authFile]),
      ...[from, to],
    ],
    options.signal,
  );
