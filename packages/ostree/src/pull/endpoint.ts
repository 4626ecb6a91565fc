import { AtomicError } from '../error.ts';
import { MAX_METADATA_SIZE } from '../objects/type.ts';
import type { Fetcher } from './http/fetcher.ts';
import { printableUrl, repositoryUrl } from './http/url.ts';

/** Where a remote's files are, best mirror first. */
export interface Endpoint {
  /** Summary, refs, config, detached metadata. */
  meta: readonly URL[];
  /** Objects and deltas. */
  content: readonly URL[];
  /** The summary a metalink led to, its checksum verified. */
  summary: Buffer | null;
}

const mirrorPrefix = 'mirrorlist=';
const maxMirrors = 64;
const maxConfigBytes = 1024 * 1024;

/** The addresses in a mirrorlist, one a line. A list from the network must not lead into this machine's files. */
export function parseMirrorlist(text: string): URL[] {
  return text.split('\n').flatMap((line) => {
    const url = line === '' || line.startsWith('#') ? null : URL.parse(line.trim());
    return url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') ? [] : [url];
  });
}

/** The mirrors in a mirrorlist, the first one known to work. Throws `network`. */
async function readMirrorlist(fetcher: Fetcher, text: string): Promise<URL[]> {
  const list = repositoryUrl(text);
  const answer = await fetcher.get([list], [], { limit: maxConfigBytes });
  if (answer === null) {
    throw new AtomicError(
      'network',
      `While fetching mirrorlist '${text}': While fetching ${printableUrl(list)}: Server returned HTTP 404`,
    );
  }
  const mirrors: URL[] = [];
  for (const url of parseMirrorlist(answer.bytes.toString())) {
    if (mirrors.length > 0 || (await answers(fetcher, url))) mirrors.push(url);
    if (mirrors.length >= maxMirrors) break;
  }
  if (mirrors.length === 0) {
    throw new AtomicError('network', `No valid mirrors were found in mirrorlist '${text}'`);
  }
  return mirrors;
}

async function answers(fetcher: Fetcher, url: URL): Promise<boolean> {
  try {
    return (await fetcher.get([url], ['config'], { limit: maxConfigBytes })) !== null;
  } catch (error) {
    if (error instanceof AtomicError && error.code === 'aborted') throw error;
    return false;
  }
}

async function mirrorsOf(fetcher: Fetcher, text: string): Promise<readonly URL[]> {
  return text.startsWith(mirrorPrefix)
    ? await readMirrorlist(fetcher, text.slice(mirrorPrefix.length))
    : [repositoryUrl(text)];
}

/** Finds out where a remote's files are. Throws `invalid`, `network`, `corrupt`. */
export async function resolveEndpoint(
  fetcher: Fetcher,
  addresses: { name: string; url: string | undefined; metalink: string | undefined; contentUrl: string | undefined },
): Promise<Endpoint> {
  const { name, url, metalink, contentUrl } = addresses;
  let meta: readonly URL[];
  let summary: Buffer | null = null;
  if (metalink !== undefined) {
    const { fetchByMetalink } = await import('./metalink.ts');
    const found = await fetchByMetalink(fetcher, repositoryUrl(metalink), 'summary', MAX_METADATA_SIZE);
    summary = found.bytes;
    meta = [new URL('.', found.url)];
  } else {
    if (url === undefined) throw new AtomicError('invalid', `No "url" option in remote "${name}"`);
    meta = await mirrorsOf(fetcher, url);
  }
  return { meta, content: contentUrl === undefined ? meta : await mirrorsOf(fetcher, contentUrl), summary };
}
