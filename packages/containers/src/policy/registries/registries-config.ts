/** Where an image can be fetched from. */
export interface Endpoint {
  /** Host, or host and path, that takes the prefix's place; '' where the prefix is a wildcard and stays. */
  location: string;
  /** Plain HTTP and unknown certificates are allowed. */
  insecure: boolean;
}

export interface Mirror extends Endpoint {
  /** Which pulls may use it. */
  pulls: 'all' | 'digest-only' | 'tag-only';
}

/** One `[[registry]]`: what holds for all images whose names begin with its prefix. */
export interface Registry extends Endpoint {
  prefix: string;
  blocked: boolean;
  /** Tried in this order, before the location. */
  mirrors: Mirror[];
  /** The file it stands in. */
  file: string;
}

export type ShortNameMode = 'enforcing' | 'permissive' | 'disabled';

/** What a short name stands for. */
export interface Alias {
  /** Registry and repository; undefined when a later file took the alias away. */
  target: string | undefined;
  file: string;
}

/** registries.conf and its drop-ins, read as one. */
export interface RegistriesConfig {
  /** By prefix, sorted. */
  registries: Registry[];
  /** Hosts that names without one are looked for at, in this order. */
  search: string[];
  /** The file that says so. */
  searchFile: string | undefined;
  shortNameMode: ShortNameMode;
  aliases: ReadonlyMap<string, Alias>;
  /** Credential helpers; `containers-auth.json` stands for the auth files. */
  credentialHelpers: string[];
  /** Every file that was read. */
  files: string[];
  /** Those of them that have the form of version 1. */
  oldFiles: string[];
}

/** As when there is no file at all. */
export const NO_REGISTRIES: RegistriesConfig = {
  registries: [],
  search: [],
  searchFile: undefined,
  shortNameMode: 'permissive',
  aliases: new Map(),
  credentialHelpers: ['containers-auth.json'],
  files: [],
  oldFiles: [],
};
