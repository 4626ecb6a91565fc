import { asBoolean, type Metadata, metadataString, stringVariant, type Value } from '@atomic/ostree';
import { TREE_INITRAMFS_KEYS } from '../tree-initramfs.ts';
import type { PackageVersion } from './assembler.ts';

/** rpm-ostree's mark of a commit that was made on this machine, on top of its parent. */
const MARK = 'rpmostree.clientlayer';
/** Of the layout of these keys (rpmostree-core.cxx); its readers take this one and later. */
const LAYOUT_VERSION = 6;

/** What a layered commit says of itself. */
export interface LayerFacts {
  /** Of the base commit. */
  baseMetadata: Metadata;
  /** Requests that have an effect ({@link LayerRequests.install}). */
  install: readonly string[];
  removed: readonly PackageVersion[];
  /** By package files given by hand. */
  replaced: readonly { before: PackageVersion; after: PackageVersion }[];
  /** By repository (`repo=ID`). */
  replacedFrom?: ReadonlyMap<string, readonly { before: PackageVersion; after: PackageVersion }[]> | undefined;
  /** A digest of all that went into it, hexadecimal: the same digest on the same base is the same tree. */
  state: string;
}

/** Versions as rpm has them: a deb's part after its last hyphen is the release. */
function versionParts(version: string): { epoch: string; version: string; release: string } {
  const colon = version.indexOf(':');
  const epoch = colon < 0 ? '0' : version.slice(0, colon);
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return dash < 0
    ? { epoch, version: rest, release: '' }
    : { epoch, version: rest.slice(0, dash), release: rest.slice(dash + 1) };
}

/** `(nevra, name, epoch, version, release, arch)`, as rpm-ostree's `rpmostree_custom_nevra` has it. */
function packageValue({ name, version, arch }: PackageVersion): Value {
  const parts = versionParts(version);
  const epoch = parts.epoch === '0' ? '' : `${parts.epoch}:`;
  const release = parts.release === '' ? '' : `-${parts.release}`;
  const nevra = `${name}-${epoch}${parts.version}${release}.${arch}`;
  return {
    type: '(sstsss)',
    value: [nevra, name, BigInt(/^\d+$/.test(parts.epoch) ? parts.epoch : 0), parts.version, parts.release, arch],
  };
}

const pair = ({ before, after }: { before: PackageVersion; after: PackageVersion }): Value => [
  packageValue(after),
  packageValue(before),
];

/** Keys of the base that hold for what is layered on it, too. */
const INHERITED = ['version', 'ostree.linux', 'ostree.bootable', ...TREE_INITRAMFS_KEYS];

/** The metadata of a layered commit, with rpm-ostree's keys: its tools and ours read them. */
export function layerMetadata(facts: LayerFacts): Metadata {
  const metadata: Metadata = new Map();
  for (const key of INHERITED) {
    const value = facts.baseMetadata.get(key);
    if (value !== undefined) metadata.set(key, value);
  }
  metadata.set(MARK, { type: 'b', value: true });
  metadata.set('rpmostree.clientlayer_version', { type: 'u', value: LAYOUT_VERSION });
  metadata.set('rpmostree.packages', { type: 'as', value: [...facts.install] });
  metadata.set('rpmostree.modules', { type: 'as', value: [] });
  metadata.set('rpmostree.removed-base-packages', { type: 'av', value: facts.removed.map(packageValue) });
  metadata.set('rpmostree.replaced-base-packages', { type: 'a(vv)', value: facts.replaced.map(pair) });
  metadata.set('rpmostree.replaced-base-remote-packages', {
    type: 'a{sv}',
    value: [...(facts.replacedFrom ?? [])].map(([source, pairs]) => [
      source,
      { type: 'a(vv)', value: pairs.map(pair) },
    ]),
  });
  metadata.set('rpmostree.state-sha512', stringVariant(facts.state));
  return metadata;
}

/** The digest a layered commit was made with, or undefined. */
export const layerState = (metadata: Metadata): string | undefined =>
  metadataString(metadata, 'rpmostree.state-sha512');

/** Whether a commit was made on this machine on top of its parent: packages layered, some of the base overridden. */
export function isLayered(metadata: Metadata): boolean {
  const mark = metadata.get(MARK);
  return mark === undefined ? metadata.has('rpmostree.spec') : mark.type === 'b' && asBoolean(mark.value);
}
