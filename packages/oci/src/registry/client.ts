import { createHash } from 'node:crypto';
import { AtomicError, corrupt } from '@atomic/ostree';
import { z } from 'zod';
import type { ImageName } from '../image-name.ts';
import { MAX_JSON, type SourceManifest, verified } from '../source.ts';
import { type Descriptor, digestPattern, MEDIA, parseIndex } from '../spec.ts';
import { type Ask, Exchange, type RegistryOptions } from './exchange.ts';
import { type HttpAnswer, PassingNetworkError, parseJson, small } from './http.ts';

/** What is taken for a manifest: all kinds there are, so that a list stays a list. */
const ACCEPT = [
  MEDIA.manifest,
  MEDIA.index,
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');

/** Pages of a list of tags. */
const MAX_PAGES = 1000;

const tagList = z.object({ tags: z.array(z.string()).nullish() });

/** One repository of a registry (OCI distribution specification 1.1). */
export class RegistryClient implements Disposable {
  /** Such as `registry.example/group/app`. */
  readonly name: string;
  readonly #exchange: Exchange;

  /** Throws `invalid` for a name without a registry. */
  constructor(name: ImageName, options: RegistryOptions = {}) {
    this.#exchange = new Exchange(name, options);
    this.name = this.#exchange.name;
  }

  /** The manifest, or list, of a tag or digest; null where there is none. Throws `corrupt`, `permission`, `network`. */
  async manifest(reference: string, signal?: AbortSignal): Promise<SourceManifest | null> {
    const ask: Ask = {
      method: 'GET',
      path: `manifests/${reference}`,
      headers: { Accept: ACCEPT },
      access: 'pull',
      signal,
    };
    const answer = await this.#exchange.ask(ask);
    if (answer.status === 404) return await absent(answer);
    await this.#exchange.expect(answer, [200], `the manifest ${reference}`);
    const bytes = await small(answer, MAX_JSON, `the manifest ${reference} of ${this.name}`);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (digestPattern.test(reference) && digest !== reference)
      throw corrupt(`${this.name}: the manifest ${reference} is not what its digest says`);
    return { bytes, digest, mediaType: mediaTypeOf(bytes, answer.header('content-type')) };
  }

  /** The digest that a tag has now, without fetching its manifest where the registry says it; null: no such tag. */
  async digestOf(reference: string, signal?: AbortSignal): Promise<string | null> {
    const headers = { Accept: ACCEPT };
    const answer = await this.#exchange.ask({
      method: 'HEAD',
      path: `manifests/${reference}`,
      headers,
      access: 'pull',
      signal,
    });
    answer.discard();
    const digest = answer.header('docker-content-digest');
    if (answer.status === 200 && digest !== undefined && digestPattern.test(digest)) return digest;
    return (await this.manifest(reference, signal))?.digest ?? null;
  }

  /** A blob's bytes, verified; a connection that breaks is made anew and goes on where it was. Throws `not-found`. */
  blob(descriptor: Descriptor, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    return verified(descriptor, this.#blob(descriptor, signal));
  }

  async *#blob({ digest, size }: Descriptor, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let at = 0;
    for (let failures = 0; ; ) {
      const headers = at === 0 ? {} : { Range: `bytes=${at}-` };
      const answer = await this.#exchange.ask({
        method: 'GET',
        path: `blobs/${digest}`,
        headers,
        access: 'pull',
        signal,
      });
      if (answer.status === 404) {
        answer.discard();
        throw new AtomicError('not-found', `${this.name} has no blob ${digest}`);
      }
      await this.#exchange.expect(answer, at === 0 ? [200] : [200, 206], `the blob ${digest}`);
      // A server that knows no ranges begins anew: what is there already is passed over.
      let skip = answer.status === 200 ? at : 0;
      try {
        for await (const chunk of answer.body) {
          const bytes = chunk.subarray(Math.min(skip, chunk.length));
          skip -= chunk.length - bytes.length;
          if (bytes.length === 0) continue;
          at += bytes.length;
          failures = 0;
          yield bytes;
        }
        if (at >= size) return;
      } catch (error) {
        if (!(error instanceof PassingNetworkError)) throw error;
        if (at >= size) return;
      }
      if (failures++ >= this.#exchange.retries)
        throw new AtomicError('network', `${this.name}: the blob ${digest} breaks off at ${at} of ${size} bytes`);
      await this.#exchange.pause(failures, 0, signal);
    }
  }

  async hasBlob({ digest }: Descriptor, signal?: AbortSignal): Promise<boolean> {
    const answer = await this.#exchange.ask({ method: 'HEAD', path: `blobs/${digest}`, access: 'pull,push', signal });
    answer.discard();
    if (answer.status === 404) return false;
    await this.#exchange.expect(answer, [200], `the blob ${digest}`);
    return true;
  }

  /** Takes a blob over from another repository of the registry; false where it must be sent. */
  async mountBlob(digest: string, from: string, signal?: AbortSignal): Promise<boolean> {
    const path = `blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`;
    const headers = { 'Content-Length': 0 };
    const answer = await this.#exchange.ask({ method: 'POST', path, headers, access: 'pull,push', from, signal });
    answer.discard();
    if (answer.status === 202) await this.#cancel(answer, signal);
    return answer.status === 201;
  }

  /**
   * Sends a blob. `open` gives its bytes, from the beginning each time: an upload that breaks goes on from where the
   * registry says it is.
   */
  async putBlob(descriptor: Descriptor, open: () => AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    const { digest, size } = descriptor;
    const started = await this.#exchange.ask({
      method: 'POST',
      path: 'blobs/uploads/',
      headers: { 'Content-Length': 0 },
      access: 'pull,push',
      signal,
    });
    started.discard();
    await this.#exchange.expect(started, [202], 'an upload');
    let location = this.#exchange.location(started);
    let at = 0;
    for (let failures = 0; ; ) {
      try {
        const answer = await this.#exchange.ask({
          method: at === 0 ? 'PUT' : 'PATCH',
          path: at === 0 ? withDigest(location, digest) : location,
          headers: {
            'Content-Type': 'application/octet-stream',
            'Content-Length': size - at,
            ...(at === 0 ? {} : { 'Content-Range': `${at}-${size - 1}` }),
          },
          body: () => after(verified(descriptor, open()), at),
          access: 'pull,push',
          signal,
        });
        if (at === 0) {
          await this.#exchange.expect(answer, [201, 204], `the blob ${digest}`);
          answer.discard();
          return;
        }
        await this.#exchange.expect(answer, [202], `the blob ${digest}`);
        answer.discard();
        return await this.#finishUpload(this.#exchange.location(answer), digest, signal);
      } catch (error) {
        if (!(error instanceof PassingNetworkError) || failures++ >= this.#exchange.retries) throw error;
        await this.#exchange.pause(failures, 0, signal);
        const there = await this.#exchange.ask({ method: 'GET', path: location, access: 'pull,push', signal });
        there.discard();
        await this.#exchange.expect(there, [204], 'the upload that broke off');
        const end = /^(?:bytes=)?0-(\d+)$/.exec(there.header('range') ?? '')?.[1];
        at = end === undefined || Number(end) === 0 ? 0 : Number(end) + 1;
        location = this.#exchange.location(there);
        if (at >= size) return await this.#finishUpload(location, digest, signal);
      }
    }
  }

  async #finishUpload(location: URL, digest: string, signal?: AbortSignal): Promise<void> {
    const headers = { 'Content-Length': 0 };
    const path = withDigest(location, digest);
    const answer = await this.#exchange.ask({ method: 'PUT', path, headers, access: 'pull,push', signal });
    await this.#exchange.expect(answer, [201, 204], `the blob ${digest}`);
    answer.discard();
  }

  async #cancel(started: HttpAnswer, signal?: AbortSignal): Promise<void> {
    const answer = await this.#exchange.ask({
      method: 'DELETE',
      path: this.#exchange.location(started),
      access: 'pull,push',
      signal,
    });
    answer.discard();
  }

  /** Stores a manifest under a tag, or under its digest alone. */
  async putManifest(manifest: SourceManifest, tag?: string, signal?: AbortSignal): Promise<void> {
    const { bytes, mediaType, digest } = manifest;
    const answer = await this.#exchange.ask({
      method: 'PUT',
      path: `manifests/${tag ?? digest}`,
      headers: { 'Content-Type': mediaType, 'Content-Length': bytes.length },
      body: () => bytes,
      access: 'pull,push',
      signal,
    });
    await this.#exchange.expect(answer, [201, 202], `the manifest ${tag ?? digest}`);
    answer.discard();
    const said = answer.header('docker-content-digest');
    if (said !== undefined && said !== digest)
      throw corrupt(`${this.name} stored the manifest as ${said} instead of ${digest}`);
  }

  /** All tags, in the registry's order; none for a repository that is not there. */
  async tags(signal?: AbortSignal): Promise<string[]> {
    const found: string[] = [];
    let path: string | URL = 'tags/list';
    for (let page = 0; page < MAX_PAGES; page++) {
      const answer: HttpAnswer = await this.#exchange.ask({ method: 'GET', path, access: 'pull', signal });
      if (answer.status === 404) {
        answer.discard();
        return found;
      }
      await this.#exchange.expect(answer, [200], 'the list of tags');
      const parsed = tagList.safeParse(parseJson(await small(answer, MAX_JSON, `the tags of ${this.name}`)));
      if (!parsed.success) throw corrupt(`${this.name} answers with a malformed list of tags`);
      found.push(...(parsed.data.tags ?? []));
      const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(answer.header('link') ?? '')?.[1];
      if (next === undefined) return found;
      path = new URL(next, this.#exchange.url('tags/list'));
    }
    return found;
  }

  /** What refers to a manifest (signatures, lists of contents), by the API or else by the tag that stands in for it. */
  async referrers(digest: string, artifactType?: string, signal?: AbortSignal): Promise<Descriptor[]> {
    const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`;
    const answer = await this.#exchange.ask({
      method: 'GET',
      path: `referrers/${digest}${query}`,
      access: 'pull',
      signal,
    });
    if (answer.status === 200) return parseIndex(await small(answer, MAX_JSON, `the referrers of ${digest}`)).manifests;
    answer.discard();
    const fallback = await this.manifest(digest.replace(':', '-'), signal);
    return fallback === null ? [] : parseIndex(fallback.bytes).manifests;
  }

  /** Deletes a tag, or a manifest by its digest. Throws `not-found`, `unsupported` where the registry does not delete. */
  async deleteManifest(reference: string, signal?: AbortSignal): Promise<void> {
    const answer = await this.#exchange.ask({
      method: 'DELETE',
      path: `manifests/${reference}`,
      access: 'delete',
      signal,
    });
    if (answer.status === 404) {
      answer.discard();
      throw new AtomicError('not-found', `${this.name} has no ${reference}`);
    }
    if (answer.status === 405 || answer.status === 400) {
      answer.discard();
      throw new AtomicError('unsupported', `${this.name}: this registry does not delete ${reference}`);
    }
    await this.#exchange.expect(answer, [202, 204], reference);
    answer.discard();
  }

  [Symbol.dispose](): void {
    this.#exchange[Symbol.dispose]();
  }
}

function withDigest(location: URL, digest: string): URL {
  const url = new URL(location);
  url.searchParams.set('digest', digest);
  return url;
}

/** All bytes but the first. */
async function* after(bytes: AsyncIterable<Uint8Array>, start: number): AsyncGenerator<Uint8Array> {
  let skip = start;
  for await (const chunk of bytes) {
    const rest = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - rest.length;
    if (rest.length > 0) yield rest;
  }
}

async function absent(answer: HttpAnswer): Promise<null> {
  answer.discard();
  return null;
}

/** What a manifest says it is counts; registries have been seen to say something else. */
function mediaTypeOf(bytes: Buffer, header: string | undefined): string {
  const value = parseJson(bytes);
  if (typeof value === 'object' && value !== null && 'mediaType' in value && typeof value.mediaType === 'string')
    return value.mediaType;
  const said = header?.split(';')[0]?.trim() ?? '';
  return said === '' ? MEDIA.manifest : said;
}

/** The repository and the tag or digest of a name; `latest` where it says neither. */
export const referenceOf = (name: ImageName): string => name.digest ?? name.tag ?? 'latest';
