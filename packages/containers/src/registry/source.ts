/** A manifest, as it is. */
export interface FoundManifest {
  bytes: Uint8Array;
  mediaType: string;
  digest: string;
}

/** Where a registry finds what it does not hold itself. What is not there is undefined. */
export interface Source {
  /** By tag or digest. */
  manifest(name: string, reference: string, signal: AbortSignal): Promise<FoundManifest | undefined>;
  /** Content from its start; verified by whoever stores it. `size` in bytes. */
  blob(
    name: string,
    digest: string,
    signal: AbortSignal,
  ): Promise<{ size: number; open(): AsyncIterable<Uint8Array> } | undefined>;
  /** Tags of a repository; undefined when it is unknown, or cannot be listed. */
  tags?(name: string, signal: AbortSignal): Promise<string[] | undefined>;
  /** All repositories. */
  names?(signal: AbortSignal): Promise<string[]>;
}
