import { AtomicError } from '@atomic/ostree';
import type { Conversion } from '../convert/conversion.ts';
import type { Row } from '../convert/rows.ts';

/** Ends the conversion of a source that docker has nothing for. */
export function notWithDocker(why: string): never {
  throw new AtomicError('unsupported', why);
}

/** Why docker cannot do what a key says, where that is not plain from its name. */
const REASONS: Readonly<Record<string, string>> = {
  Annotation: 'docker has no annotations',
  AutoUpdate: 'it is podman that updates by it: see atomic app update',
  CgroupsMode: 'docker puts containers into control groups of its own',
  ContainersConfModule: 'containers.conf is podman’s',
  GlobalArgs: 'they are options of podman',
  Pod: 'docker has no pods',
  PodmanArgs: 'they are options of podman',
  Rootfs: 'docker runs images only',
  Secret: 'docker has secrets in swarms only: mount a file instead',
};

/**
 * Refuses a source that says what docker cannot do: nothing is dropped in silence. Keys that only take some values are
 * checked by `limits`, which returns why not.
 */
export function requireHonoured(
  { source, group }: Conversion,
  keys: ReadonlySet<string>,
  limits: Readonly<Record<string, (value: string) => string | undefined>> = {},
): void {
  const refused = new Map<string, string>();
  for (const { key, value } of source.entries(group)) {
    if (value === '') continue;
    if (!keys.has(key)) refused.set(key, REASONS[key] ?? 'docker has nothing like it');
    const why = limits[key]?.(value.trimEnd());
    if (why !== undefined) refused.set(key, why);
  }
  if (refused.size === 0) return;
  const list = [...refused].map(([key, why]) => `${key}= (${why})`).join(', ');
  notWithDocker(`docker cannot honour ${list}`);
}

/** The keys of rows. */
export const keysOf = (...rows: readonly (readonly Row[])[]): string[] => rows.flat().map(({ key }) => key);
