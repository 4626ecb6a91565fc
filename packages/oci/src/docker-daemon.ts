import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { ArchiveFiles, type ImageFiles } from './archive-files.ts';
import { Http, type HttpAnswer, type HttpRequest, parseJson, small } from './registry/http.ts';

export const DOCKER_SOCKET = '/run/docker.sock';

export interface DaemonOptions {
  /** Where the engine listens. */
  socketPath?: string | undefined;
  scratch?: string | undefined;
  signal?: AbortSignal | undefined;
}

const MAX_ANSWER = 1 << 20;
const said = z.object({ message: z.string() });

/**
 * An image of a Docker engine (or Podman's compatible service) as the archive that it gives out, kept in a file that
 * disposing removes: GET /images/NAME/get of its API. Throws `not-found`.
 */
export async function saveFromDaemon(name: string, options: DaemonOptions = {}): Promise<ImageFiles> {
  const { signal, socketPath = DOCKER_SOCKET } = options;
  const scratch = await mkdtemp(join(options.scratch ?? tmpdir(), 'atomic-oci-'));
  const remove = () => rm(scratch, { recursive: true, force: true });
  try {
    using http = new Http({ socketPath, silence: 0 });
    const url = new URL(`http://engine/images/${encodeURIComponent(name)}/get`);
    const answer = await reach(http, { method: 'GET', url, signal }, socketPath);
    if (answer.status !== 200) throw await refusal(answer, name);
    const archive = join(scratch, 'saved');
    await pipeline(answer.body, createWriteStream(archive), { signal });
    const files = await ArchiveFiles.open(archive, { signal });
    return { stream: (path) => files.stream(path), [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Gives an image to an engine, as an archive of `docker save`: POST /images/load. What it said. */
export async function loadIntoDaemon(archive: AsyncIterable<Uint8Array>, options: DaemonOptions = {}): Promise<string> {
  const { signal, socketPath = DOCKER_SOCKET } = options;
  using http = new Http({ socketPath, silence: 0 });
  const url = new URL('http://engine/images/load?quiet=1');
  const headers = { 'Content-Type': 'application/x-tar', 'Transfer-Encoding': 'chunked' };
  const answer = await reach(http, { method: 'POST', url, headers, body: archive, signal }, socketPath);
  if (answer.status !== 200) throw await refusal(answer, 'the image');
  const text = (await small(answer, MAX_ANSWER, 'the answer of the engine')).toString('utf8');
  const problem = /"error":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
  if (problem !== undefined) throw new AtomicError('failed', `the engine does not take the image: ${problem}`);
  return text;
}

/**
 * Asks the engine, which says nothing while it writes an image aside or takes one in, however long that is. Throws
 * `not-found` where there is none.
 */
async function reach(http: Http, request: HttpRequest, socketPath: string): Promise<HttpAnswer> {
  try {
    return await http.send(request);
  } catch (cause) {
    const inner = cause instanceof AtomicError ? cause.cause : undefined;
    const code = inner instanceof Error && 'code' in inner ? inner.code : undefined;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      throw new AtomicError('not-found', `no engine answers at ${socketPath}`, { cause });
    }
    if (code === 'EACCES') {
      throw new AtomicError('permission', `you may not use the engine at ${socketPath}`, {
        hint: 'it is for root and the group of that socket',
        cause,
      });
    }
    throw cause;
  }
}

async function refusal(answer: HttpAnswer, name: string): Promise<AtomicError> {
  const { status } = answer;
  const { data } = said.safeParse(parseJson(await small(answer, MAX_ANSWER, 'the answer of the engine')));
  // Whatever it is that answers there, it may be no engine with a word for it.
  const message = data?.message ?? `HTTP ${status}`;
  return new AtomicError(status === 404 ? 'not-found' : 'failed', `${name}: ${message}`);
}
