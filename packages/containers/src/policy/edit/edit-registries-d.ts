import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fsyncPath } from '@atomic/linux';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { Document, isMap, parseDocument } from 'yaml';
import { readSettings, settingsIn } from '../registries/load-registries.ts';
import { loadRegistriesD, parseRegistriesD } from '../signatures/registries-d.ts';

/** Settings of one scope; what is undefined stays as it is. */
export interface SignaturePlaceChange {
  lookaside?: string | undefined;
  staging?: string | undefined;
  attachments?: boolean | undefined;
}

/** Name of the file for a scope that stands in none yet. */
const fileFor = (folder: string, scope: string): string =>
  join(
    folder,
    `${scope.replace(/[^A-Za-z0-9.-]/g, (letter) => (letter === '/' ? '_' : `_${letter.charCodeAt(0).toString(16)}`))}.yaml`,
  );

/** Old names are replaced, not doubled. */
const KEYS = [
  ['lookaside', 'sigstore', 'lookaside'],
  ['lookaside-staging', 'sigstore-staging', 'staging'],
  ['use-sigstore-attachments', '', 'attachments'],
] as const;

/**
 * Sets where signatures of a scope are, in the file that speaks of it, or else in a new one. Comments and unknown keys
 * stay. Returns the file. Throws `invalid` for a file that is no YAML.
 */
export function setSignaturePlace(folder: string, scope: string, change: SignaturePlaceChange): string {
  const file = loadRegistriesD(folder).byScope.get(scope)?.file ?? fileFor(folder, scope);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const parsed = parseDocument(readSettings(file) ?? '');
  if (parsed.errors[0] !== undefined) throw new AtomicError('invalid', `${file}: ${parsed.errors[0].message}`);
  const document: Document = parsed.contents === null ? new Document({}) : parsed;
  if (document !== parsed) document.commentBefore = parsed.comment;
  if (!isMap(document.get('docker'))) document.set('docker', document.createNode({}));
  if (!isMap(document.getIn(['docker', scope]))) document.setIn(['docker', scope], document.createNode({}));
  for (const [key, old, member] of KEYS) {
    const value = change[member];
    if (value === undefined) continue;
    document.setIn(['docker', scope, key], value);
    if (old !== '') document.deleteIn(['docker', scope, old]);
  }
  const text = document.toString();
  parseRegistriesD(text, file);
  replaceFile(file, text, { mode: 0o644 });
  return file;
}

/** Takes a scope's settings away, and with the last of a file the file; returns that file, or undefined for none. */
export function deleteSignaturePlace(folder: string, scope: string): string | undefined {
  for (const file of settingsIn(folder, '.yaml')) {
    const text = readSettings(file) ?? '';
    const document = parseDocument(text);
    if (document.errors.length > 0 || !document.hasIn(['docker', scope])) continue;
    document.deleteIn(['docker', scope]);
    const docker = document.get('docker');
    if (isMap(docker) && docker.items.length === 0) document.delete('docker');
    const comments = text.split('\n').filter((line) => /^\s*#/.test(line));
    if (isMap(document.contents) && document.contents.items.length > 0) {
      replaceFile(file, document.toString(), { mode: 0o644 });
    } else if (comments.length > 0) replaceFile(file, `${comments.join('\n')}\n`, { mode: 0o644 });
    else {
      rmSync(file);
      fsyncPath(folder);
    }
    return file;
  }
  return undefined;
}
