import type { AccessMode, Cache, CertificateFiles, RequestLog } from '@atomic/containers';
import type { Command } from 'commander';
import { parseSize } from '../../compose/common.ts';
import type { Context } from '../../context.ts';
import { collect, containerAction } from '../common.ts';
import { places } from '../places.ts';
import { type RegistryAccessOptions, registryAccess, withRegistryAccess } from '../registry-access.ts';
import { openStore as openImages } from '../store.ts';
import { add, defaultUsers, openStore, type StoreOptions, withRepo } from './common.ts';

interface ServeOptions extends StoreOptions, RegistryAccessOptions {
  listen: string;
  tls?: boolean;
  tlsName: string[];
  tlsCert?: string;
  tlsKey?: string;
  htpasswd?: string | true;
  tokens?: boolean;
  tokenRealm?: string;
  tokenKey?: string;
  tokenService?: string;
  tokenIssuer?: string;
  publicRead?: boolean;
  open?: boolean;
  readOnly?: boolean;
  images?: boolean;
  cache?: string;
  maxBlob?: string;
}

/** Adds `atomic registry serve`. */
export function register(registry: Command): void {
  const serve = withRepo(
    add(registry, 'serve', 'serve images to docker, podman, skopeo and others', [
      'atomic registry serve',
      'atomic registry serve --listen=:5000 --tls --htpasswd          users of: atomic registry user add',
      'atomic registry serve --listen=:443 --tls-cert=C.pem --tls-key=K.pem --htpasswd=FILE --tokens --public-read',
      'atomic registry serve --images --read-only --listen=:5000       hand on the images of this machine',
      'atomic registry serve --cache=docker.io                         a pull-through cache',
      'atomic registry serve --json                                    one line of JSON for each request',
    ]),
  );
  serve
    .option('-l, --listen <address>', 'ADDRESS:PORT or :PORT; port 0 takes a free one', '127.0.0.1:5000')
    .option('--tls', 'HTTPS with a certificate of its own, made when there is none')
    .option('--tls-name <name>', 'another name or address the own certificate is good for (repeatable)', collect, [])
    .option('--tls-cert <file>', 'HTTPS with this certificate (PEM, with its chain)')
    .option('--tls-key <file>', 'its key')
    .option('--htpasswd [file]', 'only users of this file may do anything')
    .option('--tokens', 'let users of --htpasswd get tokens, instead of sending the password each time')
    .option('--token-realm <url>', 'only holders of tokens of this service may do anything')
    .option('--token-key <file>', "that service's public key or certificate (PEM)")
    .option('--token-service <name>', 'who its tokens are for')
    .option('--token-issuer <name>', 'who it says it is')
    .option('--public-read', 'everybody may pull')
    .option('--open', 'everybody who reaches it may push and delete, from other machines too')
    .option('--read-only', 'nobody may push or delete')
    .option('--images', 'also serve the images of this machine under their names')
    .option(
      '--cache <registry>',
      'fetch what is not here from this registry (HOST or URL), and keep it; --creds to --tls-verify are for it',
    )
    .option('--max-blob <size>', 'the largest blob that is taken', '64G');
  withRegistryAccess(serve).action(
    containerAction(async (ctx: Context, options: ServeOptions) => {
      const { REGISTRY_LIMITS, Access, ImagesSource, serveRegistry } = await import('@atomic/containers');
      const { AtomicError } = await import('@atomic/ostree');
      const blob = parseSize(options.maxBlob ?? '');
      if (blob === undefined) throw new AtomicError('usage', `--max-blob=${options.maxBlob} is not a size`);
      const { host, port } = await parseListen(options.listen);
      const mode = await accessMode(options);
      const readOnly = options.readOnly === true;
      if (mode.kind === 'open' && !readOnly && !isLoopback(host) && !options.open && options.cache === undefined) {
        throw new AtomicError('usage', `everybody who reaches ${options.listen} could push and delete`, {
          hint: 'name who may: --htpasswd (atomic registry user add NAME); or --read-only; or, if that is meant, --open',
        });
      }
      const store = await openStore(options, { create: true });
      const certificate = await certificateFiles(options, host);
      if (mode.kind !== 'open' && certificate === undefined && !isLoopback(host))
        ctx.warn('warning: passwords and tokens go over the network as they are; add --tls');
      const images = options.images ? new ImagesSource(await openImages()) : undefined;
      await using server = await serveRegistry(
        { store, limits: { ...REGISTRY_LIMITS, blob }, readOnly, images, cache: await openCache(options, blob) },
        {
          host,
          port,
          certificate,
          access: new Access(mode, { publicRead: options.publicRead }),
          log: (line) => logRequest(ctx, line),
        },
      );
      if (ctx.json) ctx.write(`${JSON.stringify({ url: server.url, port: server.port, cert: certificate?.cert })}\n`);
      else {
        ctx.print(`serving ${store.repo.path} on ${server.url}`);
        if (options.tls && certificate !== undefined)
          ctx.print(`clients trust ${certificate.cert} once it is their /etc/containers/certs.d/HOST:PORT/ca.crt`);
      }
      await new Promise<void>((resolve) => {
        if (ctx.signal.aborted) resolve();
        ctx.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }),
  );
}

async function openCache(options: ServeOptions, blobLimit: number): Promise<Cache | undefined> {
  if (options.cache === undefined) return undefined;
  const { Cache, RemoteUpstream } = await import('@atomic/containers');
  const access = await registryAccess(options);
  const upstream = new RemoteUpstream(options.cache, (ref, insecure) => access({ ref, insecure }));
  return new Cache(upstream, { blobLimit });
}

/** Requests that went wrong on our side are always told, others with --verbose, and all of them with --json. */
function logRequest(ctx: Context, line: RequestLog): void {
  if (ctx.json) ctx.write(`${JSON.stringify(line)}\n`);
  else if (line.status >= 500 || ctx.verbose) {
    const why = line.error === undefined ? '' : `: ${line.error}`;
    ctx.warn(`${line.time} ${line.client} ${line.method} ${line.path} ${line.status} ${line.took} ms${why}`);
  }
}

async function parseListen(text: string): Promise<{ host: string; port: number }> {
  const [, address, plain, port] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/i.exec(text) ?? [];
  const host = address ?? plain;
  if (host !== undefined && Number(port) < 65_536) return { host: host === '' ? '::' : host, port: Number(port) };
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `--listen=${text} is not ADDRESS:PORT`, {
    hint: 'such as 127.0.0.1:5000, [::1]:5000 or :5000',
  });
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127\./.test(host);

async function accessMode(options: ServeOptions): Promise<AccessMode> {
  const { AtomicError } = await import('@atomic/ostree');
  const { Htpasswd, TokenKeys } = await import('@atomic/containers');
  const { htpasswd, tokens, tokenRealm: realm, tokenKey, tokenService, tokenIssuer } = options;
  if (realm !== undefined) {
    if (tokenKey === undefined || tokenService === undefined || tokenIssuer === undefined || htpasswd !== undefined)
      throw new AtomicError(
        'usage',
        '--token-realm goes with --token-key, --token-service and --token-issuer, without --htpasswd',
      );
    const { readFileSync } = await import('node:fs');
    const pem = readFileSync(tokenKey, 'utf8');
    return { kind: 'service', realm, keys: TokenKeys.of(pem, { issuer: tokenIssuer, service: tokenService }) };
  }
  if (htpasswd === undefined) {
    if (tokens) throw new AtomicError('usage', '--tokens needs the users of --htpasswd');
    return { kind: 'open' };
  }
  const users = new Htpasswd(htpasswd === true ? defaultUsers() : htpasswd);
  return tokens ? { kind: 'token', users, keys: TokenKeys.own('atomic-registry') } : { kind: 'basic', users };
}

async function certificateFiles(options: ServeOptions, host: string): Promise<CertificateFiles | undefined> {
  const { tls, tlsCert: cert, tlsKey: key } = options;
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (cert !== undefined || key !== undefined) {
    const { AtomicError } = await import('@atomic/ostree');
    throw new AtomicError('usage', '--tls-cert and --tls-key go together');
  }
  if (!tls) return undefined;
  const { ownCertificate } = await import('@atomic/containers');
  const folder =
    options.repo === undefined ? `${places().state}/registry/tls` : `${options.repo}/extensions/atomic/registry-tls`;
  const names = ['::', '0.0.0.0'].includes(host) ? options.tlsName : [...options.tlsName, host];
  return await ownCertificate(folder, names);
}
