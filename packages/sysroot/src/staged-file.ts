import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoCode } from '@atomic/linux';
import {
  asArray,
  asBoolean,
  asString,
  corrupt,
  decodeVardict,
  encodeVardict,
  type Metadata,
  metadataFromValue,
  metadataString,
  metadataToValue,
  replaceFile,
  stringVariant,
  type Value,
  type Variant,
  validateChecksum,
} from '@atomic/ostree';
import { type DeploymentId, deploymentName, parseDeploymentName } from './layout.ts';

/** What /run/ostree/staged-deployment says, an `a{sv}` that stock tools read and write too (ostree-sysroot-deploy.c). */
export interface StagedFile {
  target: DeploymentId & { bootChecksum: string };
  /** Whose /etc is merged at shutdown. */
  mergeDeployment: (DeploymentId & { bootChecksum: string }) | null;
  /** Null: those of the merge deployment. */
  kargs: string[] | null;
  /** Not to be finalized until somebody unlocks it. */
  locked: boolean;
  /** SHA-256 of initramfs images to be loaded after the tree's own, kept in /run until then. */
  overlayInitrds?: string[] | undefined;
  /** Keys of the boot entry that are not ours to make, which go on to the new one. */
  extra?: Map<string, string> | undefined;
}

function deploymentVariant(id: DeploymentId & { bootChecksum: string }): Variant {
  const fields: Metadata = new Map([
    ['name', stringVariant(deploymentName(id))],
    ['osname', stringVariant(id.os)],
    ['bootcsum', stringVariant(id.bootChecksum)],
  ]);
  return { type: 'a{sv}', value: metadataToValue(fields) };
}

function parseDeployment(variant: Variant): DeploymentId & { bootChecksum: string } {
  const fields = variant.type === 'a{sv}' ? metadataFromValue(variant.value) : new Map();
  const name = parseDeploymentName(metadataString(fields, 'name') ?? '');
  const os = metadataString(fields, 'osname');
  const bootChecksum = metadataString(fields, 'bootcsum');
  if (name === null || os === undefined || bootChecksum === undefined || os.includes('/') || os === '..') {
    throw corrupt('the staged deployment has no usable name, osname and bootcsum');
  }
  return { ...name, os, bootChecksum };
}

export function encodeStaged(staged: StagedFile): Buffer {
  const fields: Metadata = new Map([['target', deploymentVariant(staged.target)]]);
  if (staged.mergeDeployment !== null) fields.set('merge-deployment', deploymentVariant(staged.mergeDeployment));
  if (staged.kargs !== null) fields.set('kargs', { type: 'as', value: staged.kargs });
  if (staged.locked) fields.set('locked', { type: 'b', value: true });
  if (staged.overlayInitrds?.length) fields.set('overlay-initrds', { type: 'as', value: staged.overlayInitrds });
  if (staged.extra?.size) fields.set('bootconfig-extra', { type: 'a{ss}', value: [...staged.extra] });
  return encodeVardict(fields);
}

/** Throws `corrupt`. */
export function parseStaged(bytes: Uint8Array): StagedFile {
  const fields = decodeVardict(bytes);
  const target = fields.get('target');
  if (target === undefined) throw corrupt('the staged deployment names no target');
  const merge = fields.get('merge-deployment');
  const kargs = fields.get('kargs');
  const locked = fields.get('locked');
  const overlays = fields.get('overlay-initrds');
  const extra = fields.get('bootconfig-extra');
  return {
    target: parseDeployment(target),
    mergeDeployment: merge === undefined ? null : parseDeployment(merge),
    kargs: kargs?.type === 'as' ? asArray(kargs.value).map(asString) : null,
    locked: locked?.type === 'b' && asBoolean(locked.value),
    ...(overlays?.type === 'as'
      ? { overlayInitrds: asArray(overlays.value).map((item) => validateChecksum(asString(item))) }
      : {}),
    ...(extra?.type === 'a{ss}' ? { extra: new Map(asArray(extra.value).map(parsePair)) } : {}),
  };
}

function parsePair(pair: Value): [key: string, value: string] {
  const [key, value] = asArray(pair).map(asString);
  // They become lines of a boot entry.
  if (key === undefined || value === undefined || !/^[A-Za-z][\w.-]*$/.test(key) || value.includes('\n')) {
    throw corrupt('the staged deployment has an unusable bootconfig-extra');
  }
  return [key, value];
}

export function readStaged(path: string): StagedFile | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
  return parseStaged(bytes);
}

/** In /run, which does not outlive the boot: a machine that loses power forgets what was staged. */
export function writeStaged(path: string, staged: StagedFile): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  replaceFile(path, encodeStaged(staged), { mode: 0o644, sync: false });
}
