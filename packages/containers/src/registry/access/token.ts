import {
  createHmac,
  createPublicKey,
  type KeyObject,
  randomBytes,
  randomUUID,
  timingSafeEqual,
  verify,
} from 'node:crypto';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

// The tokens of "Docker Registry v2 authentication via central service": JWTs (RFC 7519) with a claim `access`.

const access = z.array(
  z.object({
    type: z.string(),
    name: z.string(),
    actions: z
      .array(z.string())
      .nullish()
      .transform((all) => all ?? []),
  }),
);
export type TokenAccess = z.output<typeof access>;

const claims = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  sub: z.string().nullish(),
  exp: z.number(),
  nbf: z.number().optional(),
  access: access.nullish(),
});

export interface Token {
  user: string;
  access: TokenAccess;
}

/** Clocks differ a little. */
const LEEWAY = 60;
const MAX_TOKEN = 16_384;

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Checks tokens that another service gives, by its public keys; or gives tokens itself, good until the server ends. */
export class TokenKeys {
  readonly issuer: string;
  readonly service: string;
  readonly #public: readonly KeyObject[];
  readonly #secret: Buffer | undefined;

  private constructor(issuer: string, service: string, keys: readonly KeyObject[], secret: Buffer | undefined) {
    this.issuer = issuer;
    this.service = service;
    this.#public = keys;
    this.#secret = secret;
  }

  /** Our own. */
  static own(service: string): TokenKeys {
    return new TokenKeys(service, service, [], randomBytes(32));
  }

  /** Of the keys (or certificates with them) in a PEM text; throws `invalid` when there is none. */
  static of(pem: string, { issuer, service }: { issuer: string; service: string }): TokenKeys {
    const blocks = pem.match(/-----BEGIN (CERTIFICATE|PUBLIC KEY|RSA PUBLIC KEY)-----[^-]+-----END \1-----/g) ?? [];
    try {
      const keys = blocks.map((block) => createPublicKey(block));
      if (keys.length > 0) return new TokenKeys(issuer, service, keys, undefined);
    } catch (cause) {
      throw new AtomicError('invalid', 'the key of the token service cannot be read', { cause });
    }
    throw new AtomicError('invalid', 'the file has no certificate or public key of the token service');
  }

  /** A new token for `seconds`; only of {@link own} keys. */
  issue(user: string, granted: TokenAccess, seconds: number): string {
    const secret = this.#secret;
    if (secret === undefined) throw new AtomicError('unsupported', 'tokens are given by another service');
    const now = Math.floor(Date.now() / 1000);
    const body = {
      iss: this.issuer,
      aud: this.service,
      sub: user,
      nbf: now,
      iat: now,
      exp: now + seconds,
      jti: randomUUID(),
      access: granted,
    };
    const signed = `${part({ typ: 'JWT', alg: 'HS256' })}.${part(body)}`;
    return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
  }

  /** What a token allows; undefined when it is not one of ours, or not any more. */
  check(token: string): Token | undefined {
    const [head = '', body = '', mark = '', ...more] = token.length > MAX_TOKEN ? [] : token.split('.');
    if (mark === '' || more.length > 0 || !this.#signed(head, `${head}.${body}`, Buffer.from(mark, 'base64url')))
      return undefined;
    const parsed = claims.safeParse(json(body));
    if (!parsed.success) return undefined;
    const { iss, aud, sub, exp, nbf = 0, access: granted } = parsed.data;
    const now = Date.now() / 1000;
    if (iss !== this.issuer || ![aud].flat().includes(this.service)) return undefined;
    if (now > exp + LEEWAY || now < nbf - LEEWAY) return undefined;
    return { user: sub ?? '', access: granted ?? [] };
  }

  /** The key says how it signs; the token only whether it agrees. */
  #signed(head: string, signed: string, mark: Buffer): boolean {
    const header = z.object({ alg: z.string() }).safeParse(json(head));
    if (!header.success) return false;
    const { alg } = header.data;
    if (this.#secret !== undefined) {
      const wanted = createHmac('sha256', this.#secret).update(signed).digest();
      return alg === 'HS256' && mark.length === wanted.length && timingSafeEqual(mark, wanted);
    }
    const bytes = Buffer.from(signed);
    return this.#public.some((key) => {
      const method = methodOf(key);
      if (method?.alg !== alg) return false;
      return verify(method.digest, bytes, { key, ...(method.ieee ? { dsaEncoding: 'ieee-p1363' } : {}) }, mark);
    });
  }
}

/** How a key signs tokens (RFC 7518); undefined for kinds that do not. */
function methodOf({
  asymmetricKeyType: type,
  asymmetricKeyDetails: details,
}: KeyObject): { alg: string; digest: string | null; ieee: boolean } | undefined {
  if (type === 'rsa') return { alg: 'RS256', digest: 'sha256', ieee: false };
  if (type === 'ed25519') return { alg: 'EdDSA', digest: null, ieee: false };
  if (type !== 'ec') return undefined;
  if (details?.namedCurve === 'prime256v1') return { alg: 'ES256', digest: 'sha256', ieee: true };
  return details?.namedCurve === 'secp384r1' ? { alg: 'ES384', digest: 'sha384', ieee: true } : undefined;
}

function json(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
