import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import type { Credentials } from './credentials.ts';
import { type Http, type HttpAnswer, parseJson, small } from './http.ts';

/** What a server asks for in `WWW-Authenticate` (RFC 9110, section 11.6.1). */
export interface Challenge {
  scheme: string;
  parameters: ReadonlyMap<string, string>;
}

/** Parse a `WWW-Authenticate` header; what it has that is malformed is passed over. */
export function parseChallenges(header: string): Challenge[] {
  const found: { scheme: string; parameters: Map<string, string> }[] = [];
  const token = /\s*,?\s*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+)))?/y;
  for (;;) {
    const match = token.exec(header);
    if (match === null) return found;
    const [, name = '', quoted, plain] = match;
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain;
    if (value === undefined) found.push({ scheme: name.toLowerCase(), parameters: new Map() });
    else found.at(-1)?.parameters.set(name.toLowerCase(), value);
  }
}

const tokenAnswer = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
});

const MAX_TOKEN = 1 << 20;

/** Gives the headers that a registry wants to see; tokens are asked for once for each scope. */
export class Authorizer {
  readonly #http: Http;
  readonly #credentials: () => Promise<Credentials | undefined>;
  readonly #tokens = new Map<string, { header: string; until: number }>();
  #basic: string | undefined;

  constructor(http: Http, credentials: () => Promise<Credentials | undefined>) {
    this.#http = http;
    this.#credentials = credentials;
  }

  /** The header known to do for a scope; undefined before the server has asked. */
  header(scope: string): string | undefined {
    if (this.#basic !== undefined) return this.#basic;
    const token = this.#tokens.get(scope);
    return token !== undefined && token.until > Date.now() ? token.header : undefined;
  }

  /** Answers a challenge; the header to try. Throws `permission` where there is nothing (more) to answer. */
  async answer(refused: HttpAnswer, url: URL, scope: string, tried: string | undefined): Promise<string> {
    const challenges = parseChallenges(refused.header('www-authenticate') ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const credentials = await this.#credentials();
    if (bearer !== undefined) {
      const header = await this.#token(bearer, url, scope, credentials);
      if (header !== tried) return header;
    }
    const basic = challenges.some(({ scheme }) => scheme === 'basic');
    if (basic && credentials !== undefined && 'user' in credentials) {
      const header = basicHeader(credentials);
      if (header !== tried) {
        this.#basic = header;
        return header;
      }
    }
    throw new AtomicError(
      'permission',
      `${url.host} does not let ${credentials === undefined ? 'everybody' : 'you'} in`,
      {
        hint: `log in with: skopeo login ${url.host}, or give --creds USER:PASSWORD`,
      },
    );
  }

  /** Distribution's token specification: GET with basic credentials, or POST with a token one was given (OAuth 2). */
  async #token(
    { parameters }: Challenge,
    url: URL,
    scope: string,
    credentials: Credentials | undefined,
  ): Promise<string> {
    const realm = URL.parse(parameters.get('realm') ?? '');
    if (realm === null || !['https:', 'http:'].includes(realm.protocol))
      throw new AtomicError('network', `${url.host} does not say where it gives tokens`);
    // A password never goes over plain HTTP because a server that has TLS says so.
    if (url.protocol === 'https:' && realm.protocol !== 'https:')
      throw new AtomicError('network', `${url.host} wants its tokens asked for without encryption, from ${realm.host}`);
    const service = parameters.get('service');
    const scopes = [...new Set([scope, parameters.get('scope') ?? scope])].join(' ').split(' ');
    const answer =
      credentials !== undefined && 'identityToken' in credentials
        ? await this.#post(realm, service, scopes, credentials.identityToken)
        : await this.#get(realm, service, scopes, credentials);
    if (answer.status === 401 || answer.status === 403) {
      answer.discard();
      throw new AtomicError('permission', `${realm.host} refuses a token for ${scope}`, {
        hint: credentials === undefined ? `log in with: skopeo login ${url.host}` : 'are name and password right?',
      });
    }
    const parsed = tokenAnswer.safeParse(parseJson(await small(answer, MAX_TOKEN, `the token of ${realm.host}`)));
    const token = parsed.data?.token ?? parsed.data?.access_token;
    if (answer.status !== 200 || token === undefined || /[\r\n]/.test(token))
      throw new AtomicError('network', `${realm.host} gave no token (HTTP ${answer.status})`);
    const header = `Bearer ${token}`;
    // Tokens last a minute unless said otherwise; one that is about to end is no use.
    const seconds = Math.max(60, parsed.data?.expires_in ?? 60) - 10;
    this.#tokens.set(scope, { header, until: Date.now() + seconds * 1000 });
    return header;
  }

  async #get(realm: URL, service: string | undefined, scopes: string[], credentials: Credentials | undefined) {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    if (credentials === undefined || !('user' in credentials)) return await this.#http.send({ method: 'GET', url });
    url.searchParams.set('account', credentials.user);
    return await this.#http.send({ method: 'GET', url, headers: { Authorization: basicHeader(credentials) } });
  }

  async #post(url: URL, service: string | undefined, scopes: string[], refreshToken: string) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'atomic',
      service: service ?? '',
      scope: scopes.join(' '),
      refresh_token: refreshToken,
    });
    const body = Buffer.from(form.toString());
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': body.length };
    return await this.#http.send({ method: 'POST', url, headers, body });
  }
}

const basicHeader = ({ user, password }: { user: string; password: string }): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
