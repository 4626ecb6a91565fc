import { dirname, join, relative } from 'node:path';
import type { Treefile } from './treefile.ts';
import type { Located } from './where.ts';

/** Those that come from keys of the same name, and are not for `variables`. */
const OWN_VARIABLES: ReadonlySet<string> = new Set(['basearch', 'releasever', 'suite']);

/** The treefile as plain data, for `--print-only` and `--json`: what is not set, or empty, is left out. */
export function treefileToJson(treefile: Treefile): Record<string, unknown> {
  const plain = <T>(items: Located<T>[]): T[] => items.map((item) => item.value);
  const directory = dirname(treefile.path);
  const { initramfs } = treefile;
  return withoutEmpty({
    ref: treefile.ref,
    'bind-refs': treefile.bindRefs,
    basearch: treefile.variables.get('basearch'),
    variables: Object.fromEntries([...treefile.variables].filter(([name]) => !OWN_VARIABLES.has(name))),
    releasever: treefile.releasever,
    packages: quoted(plain(treefile.packages)),
    'exclude-packages': quoted(treefile.excludePackages),
    'repo-packages': plain(treefile.repoPackages).map((one) => ({ ...one, packages: quoted(one.packages) })),
    repos: treefile.repos,
    'lockfile-repos': treefile.lockfileRepos,
    repovars: Object.fromEntries(treefile.repovars),
    'platform-module': treefile.platformModule,
    suite: treefile.suite,
    mirror: treefile.mirror,
    components: treefile.components,
    'signed-by': treefile.signedBy,
    recommends: treefile.recommends,
    documentation: treefile.documentation,
    'install-langs': treefile.installLangs,
    'ostree-layers': plain(treefile.ostreeLayers),
    'ostree-override-layers': plain(treefile.ostreeOverrideLayers),
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
    'remove-from-packages': plain(treefile.removeFromPackages).map((one) => [one.package, ...one.patterns]),
    postprocess: plain(treefile.postprocess),
    initramfs: withoutEmpty({
      packages: initramfs.packages,
      modules: initramfs.modules,
      'add-modules': initramfs.addModules,
      drivers: initramfs.drivers,
      args: initramfs.args,
    }),
    'no-initramfs': treefile.noInitramfs,
    'compress-runtime': treefile.compressRuntime,
    'readonly-executables': treefile.readonlyExecutables,
    'machineid-compat': treefile.machineidCompat,
    'tmp-is-dir': treefile.tmpIsDir,
    'opt-usrlocal': treefile.optUsrlocal,
    container: treefile.container,
    selinux: treefile.selinux,
    'selinux-label-version': treefile.selinuxLabelVersion,
    'preserve-passwd': treefile.preservePasswd,
    'check-passwd': accountCheck(directory, treefile.checkPasswd),
    'check-groups': accountCheck(directory, treefile.checkGroups),
    'ignore-removed-users': treefile.ignoreRemovedUsers,
    'ignore-removed-groups': treefile.ignoreRemovedGroups,
    version: treefile.version,
    'automatic-version-prefix': treefile.automaticVersionPrefix,
    'automatic-version-suffix': treefile.automaticVersionSuffix,
    'mutate-os-release': treefile.mutateOsRelease,
    timestamp: treefile.timestamp,
    'add-commit-metadata': Object.fromEntries(treefile.metadata),
    'repo-metadata': treefile.repoMetadata,
    'advisories-metadata': treefile.advisoriesMetadata,
    'container-cmd': treefile.containerCmd,
    'gpg-key': treefile.gpgKey,
    metadata: Object.fromEntries(treefile.information),
  });
}

/** As they have to be written: blanks part names, unless between quotes. */
const quoted = (names: readonly string[]): string[] => names.map((name) => (/\s/.test(name) ? `'${name}'` : name));

function accountCheck(directory: string, check: Treefile['checkPasswd']): unknown {
  return check.type === 'file' ? { type: 'file', filename: relative(directory, check.path) } : check;
}

const isEmpty = (value: unknown): boolean =>
  value === undefined || (value !== null && typeof value === 'object' && Object.keys(value).length === 0);

const withoutEmpty = (map: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(map).filter(([, value]) => !isEmpty(value)));
