import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { validateRemoteName } from '../repo/ref-name.ts';
import type { Repo } from '../repo/repo.ts';
import { replaceFile } from '../repo/write-file.ts';

/** A cookie as a line of Netscape's format has it, the one curl reads. */
export interface Cookie {
  /** With a leading dot it is for the subdomains too. */
  domain: string;
  subdomains: boolean;
  path: string;
  /** Only over https. */
  secure: boolean;
  /** Unix seconds; 0 never. */
  expires: number;
  name: string;
  value: string;
}

const MAX_SIZE = 4 * 1024 * 1024;
const YEARS_KEPT = 25;

const cookieFile = (repo: Repo, remote: string): string => join(repo.path, `${validateRemoteName(remote)}.cookies.txt`);

function readLines(repo: Repo, remote: string): string[] {
  try {
    const text = readFileSync(cookieFile(repo, remote), 'utf8');
    if (text.length > MAX_SIZE) throw new AtomicError('invalid', `${remote}.cookies.txt is too large`);
    return text.split('\n');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** A line with all seven fields; others (comments) are none. */
function parseLine(line: string): Cookie | null {
  const fields = line.trimEnd().split(/[ \t]+/);
  const [domain, flag, path, secure, expires, name] = fields;
  if (domain === undefined || path === undefined || name === undefined || fields.length < 7) return null;
  if (!/^\d+$/.test(expires ?? '')) return null;
  return {
    domain,
    subdomains: flag === 'TRUE' || domain.startsWith('.'),
    path,
    secure: secure === 'TRUE',
    expires: Number(expires),
    name,
    value: fields.slice(6).join(' '),
  };
}

/** The cookies of a remote, in the order of its file. */
export function listCookies(repo: Repo, remote: string): Cookie[] {
  return readLines(repo, remote).flatMap((line) => parseLine(line) ?? []);
}

/** Adds a cookie for a remote's requests, good for 25 years. Throws `invalid`. */
export function addCookie(
  repo: Repo,
  remote: string,
  cookie: Pick<Cookie, 'domain' | 'path' | 'name' | 'value'>,
): void {
  const { domain, path, name, value } = cookie;
  for (const field of [domain, path, name]) {
    if (!/^[\x21-\x7e]+$/.test(field)) throw new AtomicError('invalid', `'${field}' cannot be part of a cookie`);
  }
  if (!/^[\x20-\x7e]*$/.test(value)) throw new AtomicError('invalid', 'a cookie has printable ASCII characters only');
  const expires = new Date();
  expires.setUTCFullYear(expires.getUTCFullYear() + YEARS_KEPT);
  const flag = domain.startsWith('.') ? 'TRUE' : 'FALSE';
  const fields = [domain, flag, path, 'FALSE', Math.floor(expires.getTime() / 1000), name, value];
  // One write to the end of the file is whole or not there.
  appendFileSync(cookieFile(repo, remote), `${fields.join('\t')}\n`, { mode: 0o600 });
}

/** Removes a cookie; throws `not-found`. */
export function deleteCookie(
  repo: Repo,
  remote: string,
  { domain, path, name }: Pick<Cookie, 'domain' | 'path' | 'name'>,
): void {
  const cookies = readLines(repo, remote).flatMap((line) => {
    const cookie = parseLine(line);
    return cookie === null ? [] : [{ line, cookie }];
  });
  const kept = cookies.filter(({ cookie }) => cookie.domain !== domain || cookie.path !== path || cookie.name !== name);
  if (kept.length === cookies.length) throw new AtomicError('not-found', 'Cookie not found in jar');
  const text = kept.map(({ line }) => `${line}\n`).join('');
  replaceFile(cookieFile(repo, remote), text, { mode: 0o600, sync: repo.fsync });
}

/** The Cookie header for a request to a remote, or undefined when no cookie is meant for that URL. */
export function cookieHeader(repo: Repo, remote: string, url: URL): string | undefined {
  const matching = new Map<string, string>();
  for (const cookie of listCookies(repo, remote)) {
    if (cookie.expires !== 0 && cookie.expires * 1000 <= Date.now()) continue;
    if (cookie.secure && url.protocol !== 'https:') continue;
    if (!domainMatches(cookie, url.hostname) || !pathMatches(cookie.path, url.pathname)) continue;
    // A later line for the same place replaces an earlier one.
    matching.set(`${cookie.domain}\t${cookie.path}\t${cookie.name}`, `${cookie.name}=${cookie.value}`);
  }
  return matching.size === 0 ? undefined : [...matching.values()].join('; ');
}

function domainMatches({ domain, subdomains }: Cookie, host: string): boolean {
  const bare = domain.replace(/^\./, '').toLowerCase();
  return host === bare || (subdomains && host.endsWith(`.${bare}`));
}

/** RFC 6265, 5.1.4. */
function pathMatches(path: string, requested: string): boolean {
  return requested === path || (requested.startsWith(path) && (path.endsWith('/') || requested[path.length] === '/'));
}
