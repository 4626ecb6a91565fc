import { MEDIA } from '@atomic/oci';
import { z } from 'zod';
import { splitDigest } from '../blobs/digest.ts';
import { RegistryError } from './registry-error.ts';

// image-spec manifest.md and image-index.md; Docker's are "Image Manifest Version 2, Schema 2" and its list.
/** Of manifests that are stored: as large as any limit for new ones was. */
export const MAX_STORED = 64 << 20;

const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
const IMAGES: ReadonlySet<string> = new Set([MEDIA.manifest, DOCKER_MANIFEST]);
const INDEXES: ReadonlySet<string> = new Set([MEDIA.index, DOCKER_LIST]);

const descriptor = z.object({
  mediaType: z.string().default(''),
  digest: z.string().refine((text) => splitDigest(text) !== undefined, 'is not a digest that is known here'),
  size: z.number().int().nonnegative(),
  urls: z.array(z.string()).optional(),
});
const annotations = z.record(z.string(), z.string()).nullish();
const common = {
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  subject: descriptor.nullish(),
  annotations,
};
const image = z.object({ ...common, config: descriptor, layers: z.array(descriptor).nullish() });
const index = z.object({ ...common, manifests: z.array(descriptor).nullish() });

/** What a descriptor promises of what it points to. */
export interface Promised {
  digest: string;
  size: number;
}

/** What the registry has to know of a manifest. */
export interface ParsedManifest {
  mediaType: string;
  /** Blobs that have to be here; layers that are fetched from elsewhere by their URLs are not among them. */
  blobs: Promised[];
  /** Layers that can be fetched from elsewhere, which may be here all the same. */
  optional: Promised[];
  /** Manifests that have to be here. */
  manifests: Promised[];
  /** What it is about, which need not be here. */
  subject: string | undefined;
  /** As a list of referrers gives it: of an image without one, its configuration's type. */
  artifactType: string | undefined;
  annotations: Record<string, string> | undefined;
}

const invalid = (why: string): RegistryError => new RegistryError(400, 'MANIFEST_INVALID', `the manifest ${why}`);

/** Reads a manifest that was sent as `contentType` (undefined: not said); throws a {@link RegistryError}. */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): ParsedManifest {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    throw invalid('is not JSON');
  }
  const own = typeof json === 'object' && json !== null && 'mediaType' in json ? json.mediaType : undefined;
  const said = contentType?.split(';', 1)[0]?.trim();
  if (said !== undefined && own !== undefined && own !== said)
    throw invalid(`says '${String(own)}' of itself, and was sent as '${said}'`);
  const guess = typeof json === 'object' && json !== null && 'manifests' in json ? MEDIA.index : MEDIA.manifest;
  const mediaType = said ?? (typeof own === 'string' ? own : guess);
  if (IMAGES.has(mediaType)) return ofImage(read(image, json), mediaType);
  if (INDEXES.has(mediaType)) return ofIndex(read(index, json), mediaType);
  throw invalid(`has the type '${mediaType}', which is none of ${[...IMAGES, ...INDEXES].join(', ')}`);
}

function ofImage(parsed: z.output<typeof image>, mediaType: string): ParsedManifest {
  const { config, subject, artifactType } = parsed;
  const layers = parsed.layers ?? [];
  const elsewhere = ({ urls }: z.output<typeof descriptor>): boolean => urls !== undefined && urls.length > 0;
  return {
    mediaType,
    blobs: [config, ...layers.filter((layer) => !elsewhere(layer))],
    optional: layers.filter(elsewhere),
    manifests: [],
    subject: subject?.digest,
    artifactType: artifactType === undefined || artifactType === '' ? config.mediaType : artifactType,
    annotations: parsed.annotations ?? undefined,
  };
}

function ofIndex(parsed: z.output<typeof index>, mediaType: string): ParsedManifest {
  return {
    mediaType,
    blobs: [],
    optional: [],
    manifests: parsed.manifests ?? [],
    subject: parsed.subject?.digest,
    artifactType: parsed.artifactType === '' ? undefined : parsed.artifactType,
    annotations: parsed.annotations ?? undefined,
  };
}

function read<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(`is malformed: ${issue?.path.join('.')}: ${issue?.message}`);
}
