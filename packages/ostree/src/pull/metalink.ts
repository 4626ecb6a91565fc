import { createHash } from 'node:crypto';
import sax from 'sax';
import { AtomicError, corrupt } from '../error.ts';
import type { Fetcher } from './http/fetcher.ts';

/** One file of a metalink (version 3): where it is to be had and what it must be. */
export interface MetalinkFile {
  /** Bytes. */
  size: number;
  sha256: string | undefined;
  sha512: string | undefined;
  urls: URL[];
}

const maxUrls = 256;

/** Reads what a metalink says of a file; throws `corrupt`, or `not-found` when it does not name it. */
export function parseMetalink(text: string, wanted: string): MetalinkFile {
  const file: MetalinkFile = { size: 0, sha256: undefined, sha512: undefined, urls: [] };
  const parser = sax.parser(true, { trim: true });
  const path: string[] = [];
  let anyFile = false;
  let ours: 'no' | 'reading' | 'read' = 'no';
  let hash: 'sha256' | 'sha512' | null = null;
  let hashKnown = false;
  let content: ((text: string) => void) | null = null;
  const at = (where: string) => path.join('/') === where;
  const attribute = (value: unknown) => (typeof value === 'string' ? value : '');

  parser.onopentag = ({ name, attributes }) => {
    path.push(name);
    content = null;
    if (at('metalink/files/file')) {
      anyFile = true;
      if (ours === 'no' && attribute(attributes['name']) === wanted) ours = 'reading';
      return;
    }
    if (ours !== 'reading') return;
    if (at('metalink/files/file/size')) {
      content = (value) => {
        file.size = /^\d{1,15}$/.test(value) ? Number(value) : 0;
      };
    } else if (at('metalink/files/file/verification/hash')) {
      const type = attribute(attributes['type']);
      hash = type === 'sha256' || type === 'sha512' ? type : null;
      if (hash !== null) hashKnown = true;
      const key = hash;
      content = (value) => {
        if (key !== null) file[key] = value;
      };
    } else if (at('metalink/files/file/resources/url')) {
      if (file.size === 0) throw corrupt('No <size> element found or it is zero');
      if (!hashKnown) throw corrupt('No <verification> element with known <hash type=> found');
      const protocol = attribute(attributes['protocol']);
      if (protocol === 'http' || protocol === 'https') {
        content = (value) => {
          const url = URL.parse(value);
          const web = url?.protocol === 'http:' || url?.protocol === 'https:';
          if (url !== null && web && file.urls.length < maxUrls) file.urls.push(url);
        };
      }
    }
  };
  parser.ontext = (value) => content?.(value);
  parser.onclosetag = () => {
    // A <file> of the same name further on is not ours any more.
    if (at('metalink/files/file') && ours === 'reading') ours = 'read';
    content = null;
    path.pop();
  };
  parser.onerror = (error) => {
    const [line = ''] = error.message.split('\n');
    throw corrupt(
      line.startsWith('Text data outside') || line.startsWith('Non-whitespace before')
        ? 'Document must begin with an element (e.g. <book>)'
        : `the metalink is not well formed: ${line}`,
    );
  };
  parser.write(text).close();

  if (!anyFile) throw corrupt('No <file> element found');
  if (ours === 'no') throw new AtomicError('not-found', `No <file name='${wanted}'> found`);
  if (file.sha256 === undefined && file.sha512 === undefined) {
    throw corrupt('No <verification> hash for sha256 or sha512 found');
  }
  if (file.sha256 !== undefined && !/^[0-9a-f]{64}$/.test(file.sha256)) throw corrupt('Invalid hash digest for sha256');
  if (file.sha512 !== undefined && !/^[0-9a-f]{128}$/.test(file.sha512))
    throw corrupt('Invalid hash digest for sha512');
  if (file.urls.length === 0) throw corrupt("No <url method='http'> elements found");
  return file;
}

/** Throws `corrupt` unless `bytes` are what the metalink promises. */
function check(bytes: Buffer, file: MetalinkFile): void {
  if (bytes.length !== file.size) {
    throw corrupt(`Expected size is ${file.size} bytes but content is ${bytes.length} bytes`);
  }
  const kind = file.sha512 === undefined ? 'sha256' : 'sha512';
  const actual = createHash(kind).update(bytes).digest('hex');
  if (actual !== file[kind]) throw corrupt(`Expected checksum is ${file[kind]} but actual is ${actual}`);
}

/**
 * Fetches a file by way of a metalink: from the first of its servers that has what it promises. Throws `network` when
 * none has, `corrupt` for a metalink that makes no sense, `not-found` when it does not name the file.
 */
export async function fetchByMetalink(
  fetcher: Fetcher,
  metalink: URL,
  name: string,
  limit: number,
): Promise<{ bytes: Buffer; url: URL }> {
  const answer = await fetcher.get([metalink], [], { limit });
  if (answer === null) throw new AtomicError('network', `While fetching ${metalink.href}: Server returned HTTP 404`);
  const file = parseMetalink(answer.bytes.toString(), name);
  let last = '';
  for (const url of file.urls) {
    try {
      const found = await fetcher.get([url], [], { limit: Math.min(limit, Math.max(file.size, 64 * 1024)) });
      if (found === null) throw new AtomicError('network', `While fetching ${url.href}: Server returned HTTP 404`);
      check(found.bytes, file);
      return { bytes: found.bytes, url };
    } catch (error) {
      if (!(error instanceof AtomicError) || error.code === 'aborted') throw error;
      last = error.message;
    }
  }
  throw new AtomicError('network', `Exhausted ${file.urls.length} metalink targets, last error: ${last}`);
}
