import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, type Stats, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errnoCode } from '@atomic/linux';
import { parseRange } from './range.ts';

export interface GetOptions {
  /** Break off in the middle of objects unless a range is asked for. */
  forceRanges?: boolean | undefined;
}

/** Answers GET or HEAD for a path in a folder. What others may not read is refused, as by any server. */
export async function answerGet(
  root: string,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
  options: GetOptions,
): Promise<void> {
  const file = join(root, path);
  let stat: Stats;
  try {
    stat = statSync(file);
  } catch (error) {
    const code = errnoCode(error);
    response.statusCode = code === 'ENOENT' || code === 'ENOTDIR' ? 404 : code === 'EACCES' ? 403 : 500;
    return;
  }
  const readable = stat.isDirectory() ? 0o005 : stat.isFile() ? 0o004 : 0o1000;
  if ((stat.mode & readable) !== readable) {
    response.statusCode = 403;
    return;
  }
  if (!stat.isDirectory()) await sendFile(file, path, stat, request, response, options);
  else if (!path.endsWith('/')) {
    response.statusCode = 301;
    response.setHeader('Location', `${encodeURI(path)}/`);
  } else if (statSync(join(file, 'index.html'), { throwIfNoEntry: false })?.isFile()) {
    await answerGet(root, `${path}index.html`, request, response, options);
  } else sendListing(file, path, response);
}

function sendListing(folder: string, path: string, response: ServerResponse): void {
  const title = `Index of ${escapeHtml(path)}`;
  const links = readdirSync(folder)
    .sort()
    .map((name) => `<a href="${escapeHtml(encodeURIComponent(name))}">${escapeHtml(name)}</a><br>\r\n`);
  const html = `<html>\r\n<head><title>${title}</title></head>\r\n<body><h1>${title}</h1>\r\n<p>\r\n${links.join('')}</body>\r\n</html>\r\n`;
  response.setHeader('Content-Type', 'text/html');
  response.setHeader('Content-Length', Buffer.byteLength(html));
  response.write(html);
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => ENTITIES[char] ?? char);

async function sendFile(
  file: string,
  path: string,
  stat: Stats,
  request: IncomingMessage,
  response: ServerResponse,
  options: GetOptions,
): Promise<void> {
  const etag = `"${await checksumOf(file)}"`;
  response.setHeader('Last-Modified', stat.mtime.toUTCString());
  response.setHeader('ETag', etag);
  response.setHeader('Accept-Ranges', 'bytes');
  if (unchanged(request, etag, stat)) {
    response.statusCode = 304;
    return;
  }
  const range = parseRange(request.headers.range, stat.size);
  if (range === 'beyond') {
    response.statusCode = 416;
    response.setHeader('Content-Range', `bytes */${stat.size}`);
    return;
  }
  const { start, end } = range ?? { start: 0, end: stat.size };
  if (range !== null) {
    response.statusCode = 206;
    response.setHeader('Content-Range', `bytes ${start}-${end - 1}/${stat.size}`);
  }
  response.setHeader('Content-Length', end - start);
  if (request.method === 'HEAD' || end === start) return;
  const cut = options.forceRanges === true && range === null && path.includes('/objects');
  const last = cut ? Math.floor(stat.size / 2) : end;
  if (last > start) await pipeline(createReadStream(file, { start, end: last - 1 }), response, { end: false });
  // Whoever is cut off sees fewer bytes than were announced.
  if (cut) response.socket?.destroySoon();
}

async function checksumOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}

function unchanged(request: IncomingMessage, etag: string, stat: Stats): boolean {
  const match = request.headers['if-none-match'];
  if (match !== undefined) return match === etag;
  const since = Date.parse(request.headers['if-modified-since'] ?? '');
  return !Number.isNaN(since) && Math.floor(stat.mtimeMs / 1000) * 1000 <= since;
}
