import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { parseYaml } from '../../parse-yaml.ts';
import { dockerScopes, type FullName } from '../full-name.ts';
import { readSettings, settingsIn } from '../registries/load-registries.ts';

const section = z.object({
  lookaside: z.string().optional(),
  'lookaside-staging': z.string().optional(),
  // Their names until 2022.
  sigstore: z.string().optional(),
  'sigstore-staging': z.string().optional(),
  'use-sigstore-attachments': z.boolean().optional(),
});
const schema = z.object({
  'default-docker': section.nullish(),
  docker: z.record(z.string(), section.nullable()).nullish(),
});

/** What registries.d says for one scope. */
export interface SignatureSection {
  /** URL signatures are read from. */
  lookaside: string | undefined;
  /** URL they are written to. */
  staging: string | undefined;
  attachments: boolean | undefined;
  file: string;
}

/** registries.d as a whole. */
export interface SignatureSettings {
  byScope: ReadonlyMap<string, SignatureSection>;
  fallback: SignatureSection | undefined;
}

/**
 * Reads all of a folder's `*.yaml` (containers-registries.d(5)). A folder that is not there says nothing. Throws
 * `invalid`, also when two files speak about one scope.
 */
export function loadRegistriesD(folder: string): SignatureSettings {
  const byScope = new Map<string, SignatureSection>();
  let fallback: SignatureSection | undefined;
  for (const file of settingsIn(folder, '.yaml')) {
    const text = readSettings(file);
    if (text === undefined) continue;
    const twice = (scope: string, other: string): AtomicError =>
      new AtomicError('invalid', `${scope} stands in ${other} and in ${file}`, { hint: 'keep one of the two' });
    const one = parseRegistriesD(text, file);
    const read = (values: z.output<typeof section> | null): SignatureSection => ({
      lookaside: values?.lookaside ?? values?.sigstore,
      staging: values?.['lookaside-staging'] ?? values?.['sigstore-staging'],
      attachments: values?.['use-sigstore-attachments'],
      file,
    });
    if (one['default-docker'] !== undefined && one['default-docker'] !== null) {
      if (fallback !== undefined) throw twice('default-docker', fallback.file);
      fallback = read(one['default-docker']);
    }
    for (const [scope, values] of Object.entries(one.docker ?? {})) {
      const other = byScope.get(scope);
      if (other !== undefined) throw twice(scope, other.file);
      byScope.set(scope, read(values));
    }
  }
  return { byScope, fallback };
}

/** Parses one file of registries.d. Throws `invalid`. */
export function parseRegistriesD(text: string, file: string): z.output<typeof schema> {
  return parseYaml(text, file, schema);
}

/** Where an image's signatures are. */
export interface SignaturePlaces {
  /** URL of the store to read from; none: nothing is said, and the built-in folder counts. */
  read: string;
  /** URL of the store to write to. */
  write: string;
  /** Whether signatures beside the image in its registry count. */
  attachments: boolean;
  /** The file that says so; undefined for what is built in. */
  file: string | undefined;
}

/** Where signatures of an image are read and written: each setting from the most specific scope that has it. */
export function signaturePlaces(name: FullName, settings: SignatureSettings, builtIn: string): SignaturePlaces {
  const sections = [...dockerScopes(name).map((scope) => settings.byScope.get(scope)), settings.fallback].filter(
    (one) => one !== undefined,
  );
  const reading = sections.find(({ lookaside }) => lookaside !== undefined && lookaside !== '');
  const writing = sections.find(({ lookaside, staging }) => (staging ?? '') !== '' || (lookaside ?? '') !== '');
  const beside = sections.find(({ attachments }) => attachments !== undefined);
  return {
    read: reading?.lookaside ?? `file://${builtIn}`,
    write: (writing?.staging === '' ? undefined : writing?.staging) ?? writing?.lookaside ?? `file://${builtIn}`,
    attachments: beside?.attachments ?? false,
    file: reading?.file ?? beside?.file ?? writing?.file,
  };
}
