import type { IncomingMessage } from 'node:http';
import { isRepository } from '@atomic/oci';
import { RegistryError } from '../registry-error.ts';
import { TOKEN_PATH } from '../route.ts';
import type { Htpasswd } from './htpasswd.ts';
import type { TokenAccess, TokenKeys } from './token.ts';

export type Action = 'pull' | 'push' | 'delete';

/** What a request needs; undefined: that its sender is known. */
export type Need = { name: string; actions: readonly Action[] } | 'catalog' | undefined;

/** How clients show who they are. */
export type AccessMode =
  | { kind: 'open' }
  /** A name and a password with each request. */
  | { kind: 'basic'; users: Htpasswd }
  /** Tokens, which this registry gives for a name and a password. */
  | { kind: 'token'; users: Htpasswd; keys: TokenKeys }
  /** Tokens that another service gives, at `realm`. */
  | { kind: 'service'; realm: string; keys: TokenKeys };

const TOKEN_SECONDS = 300;
const ACTIONS: ReadonlySet<string> = new Set(['pull', 'push', 'delete']);

/** Decides who may do what: all users everything, nobody else anything, or (`publicRead`) everybody may pull. */
export class Access {
  readonly mode: AccessMode;
  readonly #publicRead: boolean;

  constructor(mode: AccessMode, { publicRead = false }: { publicRead?: boolean | undefined } = {}) {
    this.mode = mode;
    this.#publicRead = publicRead;
  }

  /** Throws 401 or 403 unless the request may do what it needs; returns what else may be pulled. */
  async check(request: IncomingMessage, need: Need): Promise<(name: string) => boolean> {
    const { mode } = this;
    if (mode.kind === 'open') return () => true;
    if (mode.kind === 'basic') {
      const user = await checkBasic(mode.users, request);
      if (user === undefined && !this.#isPublic(need)) throw this.#challenge(request, need, false);
      return () => user !== undefined || this.#publicRead;
    }
    const given = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    const token = given === undefined ? undefined : mode.keys.check(given);
    if (token === undefined) throw this.#challenge(request, need, given !== undefined);
    if (!allows(token.access, need)) throw this.#challenge(request, need, true);
    return (name) => allows(token.access, { name, actions: ['pull'] });
  }

  #isPublic(need: Need): boolean {
    return this.#publicRead && need !== undefined && need !== 'catalog' && need.actions.every((one) => one === 'pull');
  }

  /** What asks for credentials (RFC 7235; RFC 6750 for tokens). */
  #challenge(request: IncomingMessage, need: Need, insufficient: boolean): RegistryError {
    const { mode } = this;
    let how = 'Basic realm="registry"';
    if (mode.kind === 'token' || mode.kind === 'service') {
      const realm = mode.kind === 'service' ? mode.realm : `${originOf(request)}${TOKEN_PATH}`;
      how = `Bearer realm="${realm}",service="${mode.keys.service}"`;
      if (need !== undefined) {
        how += `,scope="${need === 'catalog' ? 'registry:catalog:*' : `repository:${need.name}:${need.actions.join(',')}`}"`;
        if (insufficient) how += ',error="insufficient_scope"';
      }
    }
    return new RegistryError(401, 'UNAUTHORIZED', 'a name and a password are needed for this', {
      headers: { 'WWW-Authenticate': how },
    });
  }

  /** Answers a client that asks for a token: what it asked for, as far as it may have it. Undefined where none are given. */
  async token(request: IncomingMessage, query: URLSearchParams): Promise<Record<string, unknown> | undefined> {
    const { mode } = this;
    if (mode.kind !== 'token') return undefined;
    const user = await checkBasic(mode.users, request);
    if (user === undefined && (request.headers.authorization !== undefined || !this.#publicRead)) {
      throw new RegistryError(401, 'UNAUTHORIZED', 'the name or the password is wrong', {
        headers: { 'WWW-Authenticate': 'Basic realm="registry"' },
      });
    }
    const granted = query
      .getAll('scope')
      .flatMap((text) => text.split(' '))
      .slice(0, 100)
      .flatMap((scope) => grant(scope, user !== undefined));
    const token = mode.keys.issue(user ?? '', granted, TOKEN_SECONDS);
    return { token, access_token: token, expires_in: TOKEN_SECONDS, issued_at: new Date().toISOString() };
  }
}

/** What of a scope `TYPE:NAME:ACTION,…` is granted. */
function grant(scope: string, known: boolean): TokenAccess {
  if (scope === 'registry:catalog:*') return known ? [{ type: 'registry', name: 'catalog', actions: ['*'] }] : [];
  const [, name = '', wanted = ''] = /^repository:([^:]+(?::\d+[^:]*)?):([a-z,*]+)$/.exec(scope) ?? [];
  if (!isRepository(name)) return [];
  const asked = wanted === '*' ? [...ACTIONS] : wanted.split(',').filter((action) => ACTIONS.has(action));
  const actions = asked.filter((action) => known || action === 'pull');
  return actions.length === 0 ? [] : [{ type: 'repository', name, actions }];
}

function allows(access: TokenAccess, need: Need): boolean {
  if (need === undefined) return true;
  if (need === 'catalog')
    return access.some(({ type, name, actions }) => type === 'registry' && name === 'catalog' && actions.includes('*'));
  return need.actions.every((action) =>
    access.some(
      ({ type, name, actions }) =>
        type === 'repository' && name === need.name && (actions.includes(action) || actions.includes('*')),
    ),
  );
}

/** The user whose name and password a request has; undefined when it has none, or they are wrong. */
async function checkBasic(users: Htpasswd, request: IncomingMessage): Promise<string | undefined> {
  const given = /^Basic\s+([A-Za-z0-9+/=]{1,4096})$/i.exec(request.headers.authorization ?? '')?.[1];
  if (given === undefined) return undefined;
  const text = Buffer.from(given, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  const user = text.slice(0, colon);
  return (await users.check(user, text.slice(colon + 1))) ? user : undefined;
}

/** Where the client reached us, as far as it and a proxy in front of us say; checked, as it comes back in a header. */
function originOf(request: IncomingMessage): string {
  const host = request.headers.host ?? '';
  const forwarded = request.headers['x-forwarded-proto'];
  const secure = 'encrypted' in request.socket || forwarded === 'https';
  return `${secure ? 'https' : 'http'}://${/^[\w.:[\]-]{1,255}$/.test(host) ? host : 'localhost'}`;
}
