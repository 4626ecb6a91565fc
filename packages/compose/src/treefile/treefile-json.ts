import { dirname, join, relative } from 'node:path';
import type { Treefile } from './treefile.ts';
import type { Located } from './where.ts';

/** The treefile as plain data, for `--print-only` and `--json`. */
export function treefileToJson(treefile: Treefile): Record<string, unknown> {
  const plain = <T>(items: Located<T>[]): T[] => items.map((item) => item.value);
  const directory = dirname(treefile.path);
  return {
    ref: treefile.ref,
    releasever: treefile.releasever,
    packages: plain(treefile.packages),
    'exclude-packages': treefile.excludePackages,
    repos: treefile.repos,
    suite: treefile.suite,
    mirror: treefile.mirror,
    components: treefile.components,
    recommends: treefile.recommends,
    documentation: treefile.documentation,
    units: plain(treefile.units),
    'mask-units': plain(treefile.maskUnits),
    'default-target': treefile.defaultTarget,
    hostname: treefile.hostname,
    'kernel-arguments': treefile.kernelArguments,
    'add-files': plain(treefile.addFiles).map((f) => [
      relative(directory, f.source) || join('.', f.source),
      f.destination,
    ]),
    'remove-files': plain(treefile.removeFiles),
    postprocess: plain(treefile.postprocess),
    version: treefile.version,
    'automatic-version-prefix': treefile.automaticVersionPrefix,
    'mutate-os-release': treefile.mutateOsRelease,
    timestamp: treefile.timestamp,
    initramfs: {
      packages: treefile.initramfs.packages,
      modules: treefile.initramfs.modules,
      'add-modules': treefile.initramfs.addModules,
      drivers: treefile.initramfs.drivers,
      args: treefile.initramfs.args,
    },
    'add-commit-metadata': Object.fromEntries(treefile.metadata),
  };
}
