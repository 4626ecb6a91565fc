/** The former spelling of keys, still accepted as rpm-ostree does. */
export const FORMER_KEYS: ReadonlyMap<string, string> = new Map([
  ['gpg_key', 'gpg-key'],
  ['boot_location', 'boot-location'],
  ['default_target', 'default-target'],
  ['automatic_version_prefix', 'automatic-version-prefix'],
  ['bootstrap_packages', 'bootstrap-packages'],
]);

const LAYERED = 'it belongs to a host, which layers packages with `atomic host install` and `override`';

/** Keys of rpm-ostree that are refused, and why: naming them is kinder than "unknown key". */
export const REFUSED_KEYS: ReadonlyMap<string, string> = new Map([
  ['cliwrap-binaries', 'programs of the tree are left as they are'],
  ['modules', 'package modules are gone from rpm-ostree and from Fedora'],
  ['base-refspec', LAYERED],
  ['container-image-reference', LAYERED],
  ['packages-local', LAYERED],
  ['packages-local-fileoverride', LAYERED],
  ['override-remove', LAYERED],
  ['ex-override-replace', LAYERED],
  ['override-replace-local', LAYERED],
  ['override-commit', LAYERED],
  ['custom', LAYERED],
  ['unconfigured-state', LAYERED],
]);
