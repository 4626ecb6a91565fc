import { arch } from 'node:os';
import {
  byteswap,
  type Checksum,
  type Json,
  type Metadata,
  metadataString,
  type Repo,
  type Variant,
} from '@atomic/ostree';
import { machineCalled } from './treefile/architecture.ts';

/** libostree's key for what a tree runs on (OSTREE_COMMIT_META_KEY_ARCHITECTURE). */
export const ARCHITECTURE = 'ostree.architecture';

/** The architecture a commit is for, by Node's name; this machine's when it does not say. */
export function machineOf(repo: Repo, commit: Checksum): string {
  const name = metadataString(repo.loadCommit(commit).metadata, ARCHITECTURE);
  return name === undefined ? arch() : (machineCalled(name) ?? name);
}

/**
 * A value of JSON as rpm-ostree puts it into a commit (json-glib's json_gvariant_deserialize without a signature):
 * whole numbers as `x`, others as `d`, both big-endian; lists as `av`, maps as `a{sv}`.
 */
export function jsonVariant(json: Json): Variant {
  if (typeof json === 'string') return { type: 's', value: json };
  if (typeof json === 'boolean') return { type: 'b', value: json };
  if (typeof json === 'number')
    return Number.isSafeInteger(json)
      ? { type: 'x', value: byteswap('x', BigInt(json)) }
      : { type: 'd', value: byteswap('d', json) };
  if (json === null) return { type: 'mv', value: null };
  if (Array.isArray(json)) return { type: 'av', value: json.map(jsonVariant) };
  return { type: 'a{sv}', value: Object.entries(json).map(([key, value]) => [key, jsonVariant(value)]) };
}

/** A map of JSON values as metadata. */
export const jsonMetadata = (values: Iterable<[string, Json]>): Metadata =>
  new Map([...values].map(([key, value]) => [key, jsonVariant(value)]));
