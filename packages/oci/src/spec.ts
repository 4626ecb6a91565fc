import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

// What of the OCI image specification (v1.1: image-layout.md, manifest.md, config.md, image-index.md) is written and
// read here. Docker's media types are those of schema 2, which registries still hand out.

export const MEDIA = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const;

const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';

export const digestPattern = /^sha256:[0-9a-f]{64}$/;

const digest = z.string().regex(digestPattern, 'must be sha256: and 64 hexadecimal digits');
const labels = z.record(z.string(), z.string());

const descriptor = z.object({
  mediaType: z.string(),
  digest,
  size: z.number().int().nonnegative(),
  annotations: labels.nullish(),
  platform: z.object({ architecture: z.string(), os: z.string(), variant: z.string().optional() }).optional(),
});
export type Descriptor = z.output<typeof descriptor>;

const index = z.object({ schemaVersion: z.literal(2), manifests: z.array(descriptor) });
export type Index = z.output<typeof index>;

const manifest = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor).min(1),
  annotations: labels.nullish(),
});
export type Manifest = z.output<typeof manifest>;

const config = z.object({
  created: z.string().optional(),
  architecture: z.string(),
  os: z.string(),
  config: z
    .object({
      Labels: labels.nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      Env: z.array(z.string()).nullish(),
      StopSignal: z.string().optional(),
      User: z.string().optional(),
      WorkingDir: z.string().optional(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
      /** Docker's: NONE, CMD and words, or CMD-SHELL and a line; times in nanoseconds. */
      Healthcheck: z
        .object({
          Test: z.array(z.string()).nullish(),
          Interval: z.number().optional(),
          Timeout: z.number().optional(),
          StartPeriod: z.number().optional(),
          Retries: z.number().optional(),
        })
        .nullish(),
    })
    .nullish(),
  rootfs: z.object({ type: z.string(), diff_ids: z.array(digest) }),
  history: z.array(z.object({ created: z.string().optional(), created_by: z.string().optional() })).optional(),
});
export type ImageConfig = z.output<typeof config>;

/** JSON is UTF-8 (RFC 8259, 8.1); what is not would be kept as other bytes than those its digest is of. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function parse<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new AtomicError('corrupt', `the image's ${what} is not JSON`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AtomicError('corrupt', `the image's ${what} is malformed: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** Annotation of what an index lists: the name of that image. */
export const REF_NAME = 'org.opencontainers.image.ref.name';

/** Each throws `corrupt` for what is none. */
export const parseIndex = (bytes: Uint8Array): Index => parse(index, bytes, 'index');
export const parseManifest = (bytes: Uint8Array): Manifest => parse(manifest, bytes, 'manifest');
export const parseConfig = (bytes: Uint8Array): ImageConfig => parse(config, bytes, 'configuration');

/** Whether a descriptor names a list of images, one for each architecture. */
export const isIndex = ({ mediaType }: Descriptor): boolean => mediaType === MEDIA.index || mediaType === DOCKER_LIST;

/** JSON with keys in order and no white space: the same value has the same bytes, and so the same digest. */
export function canonicalJson(value: unknown): Buffer {
  const sorted = (_key: string, part: unknown): unknown =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part;
  return Buffer.from(JSON.stringify(value, sorted));
}
