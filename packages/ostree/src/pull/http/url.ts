import { AtomicError } from '../../error.ts';

/** URL for messages: credentials stay out of logs. */
export function printableUrl(url: URL): string {
  if (url.username === '' && url.password === '') return url.href;
  const copy = new URL(url);
  copy.username = '';
  copy.password = '';
  return copy.href;
}

/** Appends path segments to a repository's URL, each escaped so that it stays one segment. */
export function joinUrl(base: URL, segments: readonly string[]): URL {
  const url = new URL(base);
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = `${path}/${segments.map(encodeURIComponent).join('/')}`;
  url.hash = '';
  return url;
}

/** The URL of a repository; throws `invalid` in libostree's words for what is none of http, https and file. */
export function repositoryUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null) throw new AtomicError('invalid', `Invalid URI ${text}`, { hint: 'use an http, https or file URL' });
  if (url.protocol !== 'http:' && url.protocol !== 'https:' && url.protocol !== 'file:') {
    throw new AtomicError('invalid', `Invalid URI scheme in ${text}`, { hint: 'use an http, https or file URL' });
  }
  return url;
}
