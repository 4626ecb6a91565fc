import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errnoCode, fsyncPath } from '@atomic/linux';
import { AtomicError, type FetcherOptions, openHttp } from '@atomic/ostree';
import type { FullName } from '../full-name.ts';
import { MAX_SIGNATURE } from './simple-signing.ts';

/** More than anybody has, and few enough that a server cannot keep us busy. */
const MAX_SIGNATURES = 128;

function storeUrl(text: string): URL {
  const url = URL.parse(text);
  if (url !== null && ['file:', 'http:', 'https:'].includes(url.protocol)) return url;
  throw new AtomicError('invalid', `'${text}' is no place for signatures`, {
    hint: 'lookaside in registries.d takes a URL that begins with file://, http:// or https://',
  });
}

/** Folder of an image's signatures: `BASE/namespaces/name@sha256=HEX` (signature-protocols.md). */
function folderUrl(base: string, { repository }: FullName, digest: string): URL {
  const url = storeUrl(base);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${repository}@${digest.replace(':', '=')}`;
  return url;
}

/** Reads signature-1, signature-2 … until there is no more. Throws `network`. */
export async function readLookaside(
  base: string,
  name: FullName,
  digest: string,
  http: FetcherOptions = {},
): Promise<Buffer[]> {
  const folder = folderUrl(base, name, digest);
  using client = await openHttp(http);
  const found: Buffer[] = [];
  while (found.length < MAX_SIGNATURES) {
    const one = await client.get([folder], [`signature-${found.length + 1}`], { limit: MAX_SIGNATURE });
    if (one === null) return found;
    found.push(one.bytes);
  }
  throw new AtomicError('invalid', `${folder.href} has more than ${MAX_SIGNATURES} signatures`);
}

/**
 * Adds a signature to a store on this machine, unless the very same is there; returns the file it is in. Two signers
 * at once get a file each. Throws `unsupported` for a store that is not `file://`.
 */
export function addToLookaside(base: string, name: FullName, digest: string, signature: Buffer): string {
  const url = folderUrl(base, name, digest);
  if (url.protocol !== 'file:') {
    throw new AtomicError('unsupported', `signatures cannot be written to ${base}`, {
      hint: 'set lookaside-staging in registries.d to a file:/// URL, or name a folder with --signature-dir',
    });
  }
  const folder = fileURLToPath(url);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const aside = join(folder, `.new-${process.pid}`);
  writeFileSync(aside, signature, { flush: true });
  try {
    for (let index = 1; index <= MAX_SIGNATURES; index++) {
      const file = join(folder, `signature-${index}`);
      try {
        // Linking fails where there is one already, and a crash never leaves half of one.
        linkSync(aside, file);
      } catch (error) {
        if (errnoCode(error) !== 'EEXIST') throw error;
        if (readFileSync(file).equals(signature)) return file;
        continue;
      }
      fsyncPath(folder);
      fsyncPath(dirname(folder));
      return file;
    }
    throw new AtomicError('no-space', `${folder} has ${MAX_SIGNATURES} signatures already`);
  } finally {
    rmSync(aside, { force: true });
  }
}
