import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AtomicError } from '../../error.ts';
import { Fetcher } from './fetcher.ts';
import { proxyFor } from './proxy.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-transport-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const openssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();
const withTls = { skip: openssl ? false : 'openssl is not installed' };

/** A key and a certificate for 127.0.0.1, signed by itself. */
function certificate(name: string): { key: Buffer; cert: Buffer } {
  const [key, cert] = [join(scratch, `${name}.key`), join(scratch, `${name}.crt`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', cert, '-days', '2'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...files, ...subject], { stdio: 'ignore' });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

interface Listening {
  address(): AddressInfo | string | null;
  listen(port: number, host: string, then: () => void): unknown;
  close(): unknown;
}
async function listen(server: Listening): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
const text = async (fetcher: Fetcher, url: string) =>
  (await fetcher.get([new URL(url)], [], { limit: 1000 }))?.bytes.toString() ?? null;

test('https: certificates of our own making, of the client, and any at all', withTls, async () => {
  const own = certificate('server');
  const client = certificate('client');
  const server = createTlsServer(
    { ...own, ca: client.cert, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      response.end(`${request.url} ${'authorized' in request.socket && request.socket.authorized === true}`);
    },
  );
  const url = `https://127.0.0.1:${await listen(server)}/x`;
  using strict = new Fetcher({ retries: 0 });
  await assert.rejects(text(strict, url), (error: unknown) => {
    assert.ok(error instanceof AtomicError);
    assert.match(error.message, /^While fetching https:.*: \[60\] SSL/);
    return true;
  });
  using trusting = new Fetcher({ tls: { ca: own.cert } });
  assert.equal(await text(trusting, url), '/x false');
  using known = new Fetcher({ tls: { ca: own.cert, ...client } });
  assert.equal(await text(known, url), '/x true');
  using careless = new Fetcher({ tls: { permissive: true } });
  assert.equal(await text(careless, url), '/x false');
});

test(
  'HTTP/2 where the server offers it: many requests on one connection; not when it is switched off',
  withTls,
  async () => {
    const own = certificate('h2');
    const server = createSecureServer({ ...own, allowHTTP1: true }, (request, response) => {
      if (request.url === '/missing') response.writeHead(404);
      response.end(`${request.httpVersion} ${request.url}`);
    });
    const base = `https://127.0.0.1:${await listen(server)}`;
    using modern = new Fetcher({ tls: { ca: own.cert } });
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => text(modern, `${base}/${i}`)));
    assert.deepEqual(
      answers,
      Array.from({ length: 200 }, (_, i) => `2.0 /${i}`),
    );
    assert.equal(modern.stats.connections, 1);
    assert.equal(await text(modern, `${base}/missing`), null);
    using plain = new Fetcher({ tls: { ca: own.cert }, http2: false });
    assert.equal(await text(plain, `${base}/1`), '1.1 /1');
  },
);

/** A proxy that notes what it is asked; CONNECT is let through to where it wants. */
function proxy(seen: string[]): Server {
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`);
    response.end('by proxy');
  });
  server.on('connect', (request, socket) => {
    seen.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`);
    if (request.url?.endsWith(':1')) {
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    const [host, port] = (request.url ?? '').split(':');
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.pipe(socket).pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
  });
  return server;
}

test('proxies: whole URLs for http, tunnels for https, credentials of its own', withTls, async () => {
  const own = certificate('tunnelled');
  const target = await listen(createTlsServer(own, (_request, response) => response.end('through')));
  const seen: string[] = [];
  const address = `http://me:pw@127.0.0.1:${await listen(proxy(seen))}`;
  using fetcher = new Fetcher({ proxy: { remote: address }, tls: { ca: own.cert }, retries: 0 });
  const basic = `Basic ${Buffer.from('me:pw').toString('base64')}`;
  assert.equal(await text(fetcher, 'http://repo.invalid/a/b'), 'by proxy');
  assert.equal(await text(fetcher, `https://127.0.0.1:${target}/`), 'through');
  assert.deepEqual(seen.slice(0, 2), [`GET http://repo.invalid/a/b ${basic}`, `CONNECT 127.0.0.1:${target} ${basic}`]);
  await assert.rejects(text(fetcher, 'https://127.0.0.1:1/'), /CONNECT tunnel failed, response 403/);
});

test('which proxy: the remote has its own or none, else the environment has, but for some hosts', () => {
  const chosen = (url: string, settings: Parameters<typeof proxyFor>[1]) =>
    proxyFor(new URL(url), settings)?.href ?? null;
  const environment = { http: 'http://h:1', https: 'http://s:2', none: '.internal, 10.0.0.1:8080' };
  assert.equal(chosen('http://x/', environment), 'http://h:1/');
  assert.equal(chosen('https://x/', environment), 'http://s:2/');
  assert.equal(chosen('http://a.internal/', environment), null);
  assert.equal(chosen('http://10.0.0.1:8080/', environment), null);
  assert.equal(chosen('http://10.0.0.1/', environment), 'http://h:1/');
  assert.equal(chosen('http://x/', { ...environment, remote: 'r:3' }), 'http://r:3/');
  assert.equal(chosen('http://x/', { ...environment, remote: '' }), null);
  assert.equal(chosen('http://x/', { ...environment, none: '*' }), null);
  assert.throws(() => chosen('http://x/', { remote: 'socks5://r:3' }), TypeError);
});
