import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { RegistryError } from '../registry-error.ts';
import { Access } from './access.ts';
import { Htpasswd, listUsers, parseHtpasswd, removeUser, setUser } from './htpasswd.ts';
import { TokenKeys } from './token.ts';

const folder = mkdtempSync(join(tmpdir(), 'access-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function asking(authorization?: string): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  request.headers.host = 'registry.example:5000';
  if (authorization !== undefined) request.headers.authorization = authorization;
  return request;
}

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

async function refused(work: Promise<unknown>): Promise<RegistryError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof RegistryError) return error;
    throw error;
  }
  throw new Error('it was allowed');
}

test('users are added, changed, checked and removed; others and comments stay', async () => {
  const path = join(folder, 'users');
  // A test vector of crypt_blowfish, with the letter that htpasswd -B writes.
  writeFileSync(path, '# ours\nold:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n');
  assert.equal(await setUser(path, 'alice', 'one'), 'added');
  const users = new Htpasswd(path);
  assert.deepEqual([await users.check('old', 'U*U'), await users.check('old', 'U*V')], [true, false]);
  assert.equal(await users.check('alice', 'one'), true);
  assert.equal(await users.check('alice', 'one'), true);
  assert.equal(await users.check('alice', 'two'), false);
  assert.equal(await users.check('alice', 'one\0two'), false);
  assert.equal(await users.check('nobody', 'one'), false);
  assert.equal(await setUser(path, 'alice', 'two'), 'changed');
  utimesSync(path, 1, 1);
  assert.deepEqual([await users.check('alice', 'one'), await users.check('alice', 'two')], [false, true]);
  assert.deepEqual(listUsers(path), ['old', 'alice']);
  assert.deepEqual([removeUser(path, 'alice'), removeUser(path, 'alice')], [true, false]);
  assert.match(readFileSync(path, 'utf8'), /^# ours\nold:\$2y\$05\$\S+\n$/);
  for (const user of ['', 'a:b', 'a b', 'a\nb']) await assert.rejects(setUser(path, user, 'x'), /cannot be the name/);
  await assert.rejects(setUser(path, 'a', 'x'.repeat(73)), /72 bytes/);
  for (const line of ['plain', 'a:secret', 'a:{SHA}x', 'a:$apr1$x$y', ':$2y$05$x'])
    assert.throws(() => parseHtpasswd(line, 'f'), /f:1 is not USER:HASH/, line);
});

test('a file of users that goes bad lets nobody in who was not', async () => {
  const path = join(folder, 'bad');
  await setUser(path, 'alice', 'one');
  const users = new Htpasswd(path);
  writeFileSync(path, 'junk\n');
  assert.deepEqual([await users.check('alice', 'one'), await users.check('junk', '')], [true, false]);
  assert.throws(() => new Htpasswd(join(folder, 'none')), /no file of users/);
});

test('who asks without a name is told how; who may only read only reads', async () => {
  const path = join(folder, 'some');
  await setUser(path, 'alice', 'one');
  const users = new Htpasswd(path);
  const push = { name: 'a', actions: ['pull', 'push'] } as const;
  const pull = { name: 'a', actions: ['pull'] } as const;
  const closed = new Access({ kind: 'basic', users });
  for (const header of [undefined, basic('alice', 'x'), basic('', 'one'), 'Basic %%%', 'Bearer x', 'Basic '])
    assert.equal((await refused(closed.check(asking(header), pull))).status, 401, header);
  const challenge = (await refused(closed.check(asking(), push))).headers['WWW-Authenticate'];
  assert.equal(challenge, 'Basic realm="registry"');
  await closed.check(asking(basic('alice', 'one')), push);
  const open = new Access({ kind: 'basic', users }, { publicRead: true });
  assert.equal((await open.check(asking(), pull))('b'), true);
  for (const need of [push, 'catalog', undefined] as const)
    assert.equal((await refused(open.check(asking(), need))).status, 401);
});

test('tokens of our own allow what they were given for', async () => {
  const path = join(folder, 'tokens');
  await setUser(path, 'alice', 'one');
  const keys = TokenKeys.own('ours');
  const access = new Access({ kind: 'token', users: new Htpasswd(path), keys }, { publicRead: true });
  const push = { name: 'a/b', actions: ['pull', 'push'] } as const;
  const challenge = (await refused(access.check(asking(), push))).headers['WWW-Authenticate'];
  assert.equal(
    challenge,
    'Bearer realm="http://registry.example:5000/token",service="ours",scope="repository:a/b:pull,push"',
  );
  const get = async (authorization: string | undefined, ...scopes: string[]): Promise<string> => {
    const query = new URLSearchParams();
    for (const scope of scopes) query.append('scope', scope);
    return String((await access.token(asking(authorization), query))?.['token']);
  };
  const alice = await get(basic('alice', 'one'), 'repository:a/b:pull,push', 'repository:c:pull');
  const mayPull = await access.check(asking(`Bearer ${alice}`), push);
  assert.deepEqual([mayPull('c'), mayPull('d')], [true, false]);
  const wider = await refused(access.check(asking(`Bearer ${alice}`), { name: 'a/b', actions: ['delete'] }));
  assert.match(wider.headers['WWW-Authenticate'] ?? '', /insufficient_scope/);
  const anybody = await get(undefined, 'repository:a/b:pull,push', 'registry:catalog:*', 'repository:../x:pull');
  await access.check(asking(`Bearer ${anybody}`), { name: 'a/b', actions: ['pull'] });
  await refused(access.check(asking(`Bearer ${anybody}`), push));
  await refused(access.check(asking(`Bearer ${anybody}`), 'catalog'));
  await refused(get(basic('alice', 'wrong'), 'repository:a/b:pull'));
  await refused(access.check(asking(`Bearer ${TokenKeys.own('ours').issue('x', [], 60)}`), undefined));
  await refused(access.check(asking(`Bearer ${keys.issue('x', [], -120)}`), undefined));
});

test('tokens of another service are taken by its keys, and by no trick', () => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: 'them', aud: ['ours'], sub: 'bob', exp: now + 100, access: [] };
  const token = (alg: string, body: object, mark: (text: Buffer) => Buffer): string => {
    const signed = `${part({ alg, typ: 'JWT' })}.${part(body)}`;
    return `${signed}.${mark(Buffer.from(signed)).toString('base64url')}`;
  };
  const pairs: [string, { publicKey: KeyObject; privateKey: KeyObject }, string | null][] = [
    ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha256'],
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256'],
    ['EdDSA', generateKeyPairSync('ed25519'), null],
  ];
  for (const [alg, { publicKey, privateKey }, digest] of pairs) {
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const keys = TokenKeys.of(pem, { issuer: 'them', service: 'ours' });
    const mark = (text: Buffer) =>
      sign(digest, text, { key: privateKey, ...(alg === 'ES256' ? { dsaEncoding: 'ieee-p1363' } : {}) });
    const good = token(alg, claims, mark);
    assert.deepEqual(keys.check(good), { user: 'bob', access: [] }, alg);
    const wrong: Record<string, string> = {
      'another issuer': token(alg, { ...claims, iss: 'x' }, mark),
      'for another': token(alg, { ...claims, aud: 'x' }, mark),
      over: token(alg, { ...claims, exp: now - 100 }, mark),
      'not yet': token(alg, { ...claims, nbf: now + 100 }, mark),
      'no end': token(alg, { ...claims, exp: undefined }, mark),
      'no signature': token('none', claims, () => Buffer.alloc(0)),
      'the key as a secret': token('HS256', claims, (text) => createHmac('sha256', pem).update(text).digest()),
      'a changed body': good.replace(/\.[^.]+\./, `.${part({ ...claims, sub: 'root' })}.`),
      junk: 'a.b.c',
      long: `${good}${'A'.repeat(20_000)}`,
    };
    for (const [what, text] of Object.entries(wrong)) assert.equal(keys.check(text), undefined, `${alg}: ${what}`);
  }
  assert.throws(() => TokenKeys.of('nothing', { issuer: 'a', service: 'b' }), /no certificate or public key/);
});
