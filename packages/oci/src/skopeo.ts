import { AtomicError, runProgram } from '@atomic/ostree';
import { z } from 'zod';

async function skopeo(what: string, args: readonly string[], signal?: AbortSignal): Promise<void> {
  try {
    await runProgram('skopeo', args, { signal });
  } catch (error) {
    if (!(error instanceof AtomicError)) throw error;
    if (error.code !== 'not-found') throw plain(error, what);
    throw new AtomicError('unsupported', `${what} is reached by skopeo, which is not installed`, {
      hint: 'apt-get install skopeo, or use oci-archive:FILE',
      cause: error,
    });
  }
}

/** What skopeo's last line of log says (logrus's text form). */
function plain(error: AtomicError, what: string): AtomicError {
  const [, quoted] = /level=fatal msg=("(?:[^"\\]|\\.)*")/.exec(error.message) ?? [];
  if (quoted === undefined) return error;
  let said = quoted.slice(1, -1);
  try {
    said = z.string().parse(JSON.parse(quoted));
  } catch {
    // Go escapes some bytes in ways that JSON does not know.
  }
  const rejected = said.startsWith('Source image rejected');
  return new AtomicError(error.code, `${what}: ${said}`, {
    cause: error,
    ...(rejected ? { hint: `which rule of policy.json says so: atomic trust explain ${bare(what)}` } : {}),
  });
}

const bare = (reference: string): string => reference.replace(/^docker:\/\//, '');

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
