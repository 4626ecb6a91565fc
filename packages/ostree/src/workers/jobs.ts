import type { FolderFiles, Placed, PlaceOptions } from '../checkout/placer.ts';
import type { PartToApply } from '../delta/apply-any-part.ts';
import type { BuildPartOptions, BuiltPart } from '../delta/build-part.ts';
import type { MadeObjects } from '../delta/part-sink.ts';
import type { PlannedObject } from '../delta/plan.ts';
import type { Checksum } from '../objects/checksum.ts';
import type { ObjectType } from '../objects/type.ts';
import type { Imported } from '../repo/import-content.ts';
import type { Stored, StoreTarget } from '../repo/stager.ts';
import type { FileToStore } from '../repo/store-file.ts';
import type { FilezBody } from '../repo/store-filez.ts';
import type { Verdict } from '../repo/verify-object.ts';
import type { ErrorData } from './messages.ts';

/**
 * What threads can do. `shared` is told once, `item` for each piece of work, `output` comes back for each; all plain
 * data, since it crosses threads (Buffers arrive as Uint8Arrays, and a view takes its whole buffer along: pass copies).
 */
export interface Jobs {
  /** Hash a file from disk and stage it as a content object. */
  store: { shared: { target: StoreTarget }; item: FileToStore; output: Stored };
  /** Bring a content object over from another repository on this machine. */
  import: {
    shared: { target: StoreTarget; source: string; trusted?: boolean; bareUserOnly?: boolean };
    item: Checksum;
    output: Imported;
  };
  /** Stage a content object that came as an archive object. */
  filez: {
    shared: { target: StoreTarget; trusted?: boolean; bareUserOnly?: boolean };
    item: { checksum: Checksum; body: FilezBody };
    output: Stored;
  };
  /** Check out files of one folder. */
  checkout: { shared: { repo: string; options: PlaceOptions }; item: FolderFiles; output: Placed };
  /** Make one part of a static delta. */
  'delta-part': {
    shared: { repo: string; options: BuildPartOptions };
    item: { index: number; objects: readonly PlannedObject[] };
    output: BuiltPart;
  };
  /** Make the objects of one part of a static delta. What was made counts even when the rest failed. */
  'apply-part': {
    shared: { target: StoreTarget };
    item: PartToApply;
    output: { made: MadeObjects; bytes: number; error: ErrorData | null };
  };
  /** Re-hash an object. */
  verify: {
    shared: { repo: string };
    item: { type: ObjectType; checksum: Checksum };
    output: Verdict;
  };
}

export type JobKind = keyof Jobs;

/** Does one item, at once or (for what is large) by a promise. */
export type Runner<K extends JobKind> = (item: Jobs[K]['item']) => Jobs[K]['output'] | Promise<Jobs[K]['output']>;

type Loader<K extends JobKind> = () => Promise<{ open(shared: Jobs[K]['shared']): Runner<K> }>;

// Loaded when asked for: a thread, or a small command, needs one of them.
const loaders: { readonly [K in JobKind]: Loader<K> } = {
  store: () => import('./store-job.ts'),
  import: () => import('./import-job.ts'),
  filez: () => import('./filez-job.ts'),
  verify: () => import('./verify-job.ts'),
  checkout: () => import('./checkout-job.ts'),
  'delta-part': () => import('./delta-part-job.ts'),
  'apply-part': () => import('./apply-part-job.ts'),
};

/** Makes a job ready on this thread. */
export async function openJob<K extends JobKind>(kind: K, shared: Jobs[K]['shared']): Promise<Runner<K>> {
  const { open } = await loaders[kind]();
  return open(shared);
}
