import { AtomicError } from '@atomic/ostree';
import type { Mount } from '../../system/runtime-spec.ts';

/** Options of a volume, and what they are to the runtime; `z`, `Z`, `copy` and `nocopy` are for us. */
const TO_RUNTIME = new Set([
  ...['ro', 'rw', 'dev', 'nodev', 'suid', 'nosuid', 'exec', 'noexec', 'bind', 'rbind'],
  ...['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'],
]);
const OURS = new Set(['z', 'Z', 'copy', 'nocopy']);
const TMPFS = /^(?:ro|rw|dev|nodev|suid|nosuid|exec|noexec|size=\d+[kmgKMG%]?|mode=[0-7]{3,4}|uid=\d+|gid=\d+)$/;

/** One `[SOURCE:]TARGET[:OPTIONS]`. */
export interface VolumeWords {
  /** A path of the host, or a volume's name; undefined for one that goes with the container. */
  source: string | undefined;
  target: string;
  options: readonly string[];
}

/** Takes a volume apart. Throws `invalid` for an option or a path that is none. */
export function parseVolume(text: string): VolumeWords {
  const [first = '', second, options, ...more] = text.split(':');
  const parsed = {
    source: second === undefined || first === '' ? undefined : first,
    target: second ?? first,
    options: (options ?? '').split(',').filter((option) => option !== ''),
  };
  if (more.length > 0 || !parsed.target.startsWith('/')) {
    throw new AtomicError('invalid', `the volume ${text} is not [SOURCE:]/TARGET[:OPTIONS]`);
  }
  const bad = unknownVolumeOption(parsed.options);
  if (bad !== undefined) throw new AtomicError('invalid', `the volume ${text}: there is no option ${bad}`);
  return parsed;
}

/** The first option of a volume that only an engine knows. */
export const unknownVolumeOption = (options: readonly string[]): string | undefined =>
  options.find((option) => !TO_RUNTIME.has(option) && !OURS.has(option));

export function volumeMount({ target, options }: VolumeWords, source: string): Mount {
  const said = options.filter((option) => TO_RUNTIME.has(option));
  const has = (...names: string[]): boolean => names.some((name) => said.includes(name));
  return {
    destination: target,
    type: 'bind',
    source,
    options: [
      ...said,
      ...(has('bind', 'rbind') ? [] : ['rbind']),
      ...(has('private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared') ? [] : ['rprivate']),
      ...(has('dev') ? [] : ['nodev']),
      ...(has('suid') ? [] : ['nosuid']),
    ],
  };
}

/** A `PATH[:OPTIONS]` of its own in memory. Throws `invalid`. */
export function tmpfsMount(text: string): Mount {
  const [destination = '', options = '', ...more] = text.split(':');
  const said = options.split(',').filter((option) => option !== '');
  const bad = said.find((option) => !TMPFS.test(option));
  if (!destination.startsWith('/') || more.length > 0 || bad !== undefined) {
    const why = bad === undefined ? 'is not /PATH[:OPTIONS]' : `has the option ${bad}, which is none here`;
    throw new AtomicError('invalid', `the tmpfs ${text} ${why}`);
  }
  const standard = ['nosuid', 'nodev', 'mode=1777'].filter(
    (option) => !said.some((one) => one.replace(/=.*/, '') === option.replace(/^no|=.*/g, '') || one === option),
  );
  return { destination, type: 'tmpfs', source: 'tmpfs', options: [...standard, ...said] };
}
