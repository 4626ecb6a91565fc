import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeSpec } from './runtime-spec.ts';

/** Files and folders of the host that are shown in a container. */
export const bindSources = (spec: RuntimeSpec): { source: string; destination: string }[] =>
  (spec.mounts ?? []).flatMap(({ type, source, destination }) =>
    type === 'bind' && source?.startsWith('/') === true ? [{ source, destination }] : [],
  );

/**
 * Lines for systemd-tmpfiles that make what a container is shown and the host does not have; runtimes do not start one
 * whose sources are missing. `before`: lines that were made for the version before, kept while they are of use.
 */
export function missingSources(
  spec: RuntimeSpec,
  where: { root: string; rootfs: string; before: readonly string[] },
): string[] {
  const known = new Map(where.before.map((line) => [line.split(' ')[1] ?? '', line]));
  return bindSources(spec).flatMap(({ source, destination }) => {
    // tmpfiles.d(5) splits at blanks and reads % and quotes.
    if (/[\s%"'\\]/.test(source)) return [];
    const line = known.get(source);
    if (line !== undefined) return [line];
    if (existsSync(where.root + source)) return [];
    const target = statSync(join(where.rootfs, destination), { throwIfNoEntry: false });
    return [target?.isFile() === true ? `f ${source} 0644 - - -` : `d ${source} 0755 - - -`];
  });
}
