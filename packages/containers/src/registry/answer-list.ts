import { MEDIA } from '@atomic/oci';
import { type Exchange, isHead, methodOf, nextLink, pageSize, replyJson, unsupported } from './exchange.ts';
import { MAX_STORED, parseManifest } from './manifest.ts';
import { RegistryError } from './registry-error.ts';
import type { Registry } from './registry-options.ts';

/** The most names a page has. */
const PAGE = 10_000;
/** A page of referrers ends when it has as many, or as many bytes, or so many manifests were read for it. */
const REFERRERS = { count: 500, bytes: 1 << 20, reads: 1000 };

function requireGet(exchange: Exchange): void {
  if (methodOf(exchange) !== 'GET' && !isHead(exchange)) unsupported(exchange, ['GET', 'HEAD']);
}

/** Names after `last`, and whether there are more. */
function page(names: Iterable<string>, exchange: Exchange): { shown: string[]; more: boolean } {
  const size = pageSize(exchange, PAGE);
  const last = exchange.query.get('last');
  const shown: string[] = [];
  for (const name of names) {
    if (last !== null && name <= last) continue;
    if (shown.length >= size) return { shown, more: size > 0 };
    shown.push(name);
  }
  return { shown, more: false };
}

const link = (path: string, { query }: Exchange, shown: string[], more: boolean): Record<string, string> =>
  more ? nextLink(path, { n: query.get('n') ?? String(PAGE), last: shown.at(-1) ?? '' }) : {};

/** GET of `/v2/NAME/tags/list`. */
export async function answerTags(registry: Registry, exchange: Exchange, name: string): Promise<void> {
  requireGet(exchange);
  const repository = registry.store.repository(name);
  const { signal } = exchange;
  const others = (await registry.images?.tags?.(name, signal)) ?? (await registry.cache?.tags(name, signal));
  if (others === undefined && !repository.exists)
    throw new RegistryError(404, 'NAME_UNKNOWN', `there is no repository ${name}`, { detail: { name } });
  const { shown, more } = page(merged(repository.tags(), others), exchange);
  replyJson(exchange, { name, tags: shown }, link(`/v2/${name}/tags/list`, exchange, shown, more));
}

/** GET of `/v2/_catalog`. */
export async function answerCatalog(registry: Registry, exchange: Exchange): Promise<void> {
  requireGet(exchange);
  const images = await registry.images?.names?.(exchange.signal);
  const names = images === undefined ? registry.store.names() : merged([...registry.store.names()], images);
  const { shown, more } = page(names, exchange);
  replyJson(exchange, { repositories: shown }, link('/v2/_catalog', exchange, shown, more));
}

const merged = (one: readonly string[], other: readonly string[] | undefined): readonly string[] =>
  other === undefined ? one : [...new Set([...one, ...other])].sort((a, b) => (a < b ? -1 : 1));

/** GET of `/v2/NAME/referrers/DIGEST`: an index of what says it is about a manifest, there or not. */
export function answerReferrers(registry: Registry, exchange: Exchange, name: string, subject: string): void {
  requireGet(exchange);
  const repository = registry.store.repository(name);
  const { query } = exchange;
  const filter = query.get('artifactType');
  const manifests: unknown[] = [];
  let [bytes, reads, more] = [0, 0, false];
  let last = query.get('last') ?? undefined;
  for (const digest of repository.referrers(subject, last)) {
    if (manifests.length >= REFERRERS.count || bytes >= REFERRERS.bytes || reads >= REFERRERS.reads) {
      more = true;
      break;
    }
    last = digest;
    const stored = repository.manifests.find(digest);
    if (stored === undefined) continue;
    reads++;
    const parsed = parseManifest(repository.manifests.read(stored, MAX_STORED), stored.mediaType);
    if (filter !== null && parsed.artifactType !== filter) continue;
    const { mediaType, artifactType, annotations } = parsed;
    const descriptor = { mediaType, digest, size: stored.size, artifactType, annotations };
    bytes += JSON.stringify(descriptor).length;
    manifests.push(descriptor);
  }
  const path = `/v2/${name}/referrers/${subject}`;
  const next = more && last !== undefined ? { ...(filter === null ? {} : { artifactType: filter }), last } : undefined;
  replyJson(
    exchange,
    { schemaVersion: 2, mediaType: MEDIA.index, manifests },
    {
      ...(filter === null ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
      ...(next === undefined ? {} : nextLink(path, next)),
    },
    MEDIA.index,
  );
}
