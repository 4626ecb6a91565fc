import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Repo } from '../index.ts';
import { addCookie, cookieHeader, deleteCookie, listCookies } from './cookies.ts';
import { remoteAdd, remoteBoolean, remoteDelete, remoteUrl, requireRemote } from './remote.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-remote-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let serial = 0;
const newPath = (): string => join(scratch, String(serial++));
const newRepo = (): Repo => Repo.create(newPath(), { mode: 'archive' });
const configOf = (repo: Repo): string => readFileSync(join(repo.path, 'config'), 'utf8');

test('adding, replacing and deleting, as stock writes it', () => {
  const repo = newRepo();
  const head = configOf(repo);
  remoteAdd(repo, 'a', 'http://a', { branches: ['x', 'y/z'], options: { 'gpg-verify': 'false', q: '  s\\' } });
  remoteAdd(repo, 'b', 'metalink=http://b/m');
  remoteAdd(repo, 'c', null, { options: new Map([['custom-backend', 'x']]) });
  const [a, b, c] = [
    '\n[remote "a"]\nurl=http://a\nbranches=x;y/z;\ngpg-verify=false\nq=\\s\\ss\\\\\n',
    '\n[remote "b"]\nmetalink=http://b/m\n',
    '\n[remote "c"]\ncustom-backend=x\n',
  ];
  assert.equal(configOf(repo), head + a + b + c);
  assert.equal(Repo.open(repo.path).remoteOption('a', 'q'), '  s\\');
  assert.throws(() => remoteAdd(repo, 'a', 'http://z'), {
    code: 'exists',
    message: 'Remote configuration for "a" already exists: (in config)',
  });
  remoteAdd(repo, 'a', 'http://z', { ifNotExists: true });
  assert.equal(remoteUrl(repo, 'a'), 'http://a');
  writeFileSync(join(repo.path, 'a.trustedkeys.gpg'), 'keys');
  remoteAdd(repo, 'a', 'http://z', { force: true });
  assert.equal(configOf(repo), `${head + b + c}\n[remote "a"]\nurl=http://z\n`);
  assert.ok(existsSync(join(repo.path, 'a.trustedkeys.gpg')), 'replacing keeps the keys');
  assert.deepEqual(repo.remotes(), ['a', 'b', 'c']);
  assert.throws(() => remoteUrl(repo, 'b'), { message: 'No "url" option in remote "b"' });
  assert.equal(remoteUrl(repo, 'file:///x'), 'file:///x');
  remoteDelete(repo, 'a');
  assert.ok(!existsSync(join(repo.path, 'a.trustedkeys.gpg')));
  assert.throws(() => requireRemote(repo, 'a'), { code: 'not-found', message: 'Remote "a" not found' });
  assert.throws(() => remoteDelete(repo, 'a'), { code: 'not-found' });
  for (const name of ['../x', 'a/b', '', 'x"]\n[core', '.hidden']) {
    assert.throws(() => remoteAdd(repo, name, 'http://a'), { code: 'invalid' }, name);
    assert.throws(() => remoteDelete(repo, name), { code: 'invalid' }, name);
  }
  for (const key of ['', 'a=b', 'a\nb', '[x]', '#x', ' x', 'x ']) {
    assert.throws(() => remoteAdd(repo, 'n', 'http://a', { options: { [key]: 'v' } }), { code: 'invalid' }, key);
  }
  assert.throws(() => remoteAdd(repo, 'n', 'http://a', { branches: ['../x'] }), { code: 'invalid' });
  remoteAdd(repo, 'n', 'http://a\n[core]\nmode=bare', { options: { x: 'a\nb' } });
  assert.deepEqual(Repo.open(repo.path).config.groups(), repo.config.groups(), 'values cannot make sections');
  assert.equal(remoteBoolean(repo, 'n', 'gpg-verify'), undefined);
  assert.throws(() => remoteBoolean(repo, 'n', 'x'), { code: 'invalid' });
});

test('a folder of remotes', () => {
  const { path } = newRepo();
  const dir = join(scratch, 'remotes.d');
  const open = (): Repo => Repo.open(path, { remotesDir: dir });
  assert.deepEqual(open().remotes(), []);
  mkdirSync(dir);
  writeFileSync(join(dir, 'foo.conf'), '[remote "foo"]\nurl=http://foo\n[remote "fox"]\nurl=http://fox\n');
  writeFileSync(join(dir, 'ignored.txt'), '[remote "no"]\n');
  let repo = open();
  assert.deepEqual(repo.remotes(), ['foo', 'fox']);
  remoteAdd(repo, 'bar', 'http://bar');
  assert.deepEqual(readdirSync(dir).sort(), ['foo.conf', 'ignored.txt'], 'new ones go to the config');
  assert.throws(() => remoteAdd(repo, 'foo', 'x'), {
    message: `Remote configuration for "foo" already exists: ${dir}/foo.conf`,
  });

  repo.config.set('core', 'add-remotes-config-dir', 'true');
  repo.saveConfig();
  repo = open();
  remoteAdd(repo, 'baz', 'http://baz', { branches: ['test'] });
  assert.equal(readFileSync(join(dir, 'baz.conf'), 'utf8'), '[remote "baz"]\nurl=http://baz\nbranches=test;\n');
  assert.equal(repo.remoteOption('baz', 'url'), 'http://baz');
  remoteAdd(repo, 'baz', 'http://baz2', { force: true });
  assert.equal(readFileSync(join(dir, 'baz.conf'), 'utf8'), '[remote "baz"]\nurl=http://baz2\n');
  remoteAdd(repo, 'bar', 'http://bar2', { force: true });
  assert.equal(repo.config.get('remote "bar"', 'url'), 'http://bar2', 'replaced where it is defined');
  remoteDelete(repo, 'foo');
  assert.deepEqual(repo.remotes(), ['bar', 'baz', 'fox'], 'others of the file are kept');
  remoteDelete(repo, 'fox');
  assert.ok(!existsSync(join(dir, 'foo.conf')));

  repo.config.set('remote "baz"', 'gpg-verify', 'false');
  const before = configOf(repo);
  assert.throws(() => repo.saveConfig(), {
    code: 'exists',
    message: `Remote "baz" already defined in ${dir}/baz.conf`,
  });
  assert.equal(configOf(repo), before);

  writeFileSync(join(dir, 'twice.conf'), '[remote "bar"]\nurl=http://evil\n');
  assert.throws(() => open().remotes(), { message: 'Multiple specifications found for remote "bar"' });
  writeFileSync(join(dir, 'twice.conf'), 'junk');
  assert.throws(() => open().remotes(), { code: 'invalid', message: /twice\.conf/ });
});

test('the root of a system and its remotes', () => {
  const root = newPath();
  Repo.create(join(root, 'ostree/repo'), { mode: 'bare-user' });
  const open = (): Repo => Repo.open(join(root, 'ostree/repo'), { sysroot: root });
  // A bare disk: there is no /etc to write to.
  assert.equal(open().remoteTable.dir, null);
  remoteAdd(open(), 'disk', 'http://disk');
  // In a deployment.
  mkdirSync(join(root, 'sysroot'));
  const repo = open();
  assert.equal(repo.remoteTable.dir, join(root, 'etc/ostree/remotes.d'));
  remoteAdd(repo, 'etc', 'http://etc');
  assert.deepEqual(readdirSync(join(root, 'etc/ostree/remotes.d')), ['etc.conf']);
  assert.deepEqual(open().remotes(), ['disk', 'etc']);
});

test('remotes of the parent', () => {
  const parent = newRepo();
  const repo = newRepo();
  repo.config.set('core', 'parent', parent.path);
  repo.saveConfig();
  remoteAdd(parent, 'shared', 'http://parent', { options: { 'gpg-verify': 'false', proxy: 'http://proxy' } });
  const child = Repo.open(repo.path);
  assert.deepEqual(child.remotes(), ['shared']);
  assert.equal(remoteUrl(child, 'shared'), 'http://parent');
  assert.throws(() => remoteDelete(child, 'shared'), { code: 'not-found' });
  remoteAdd(child, 'shared', 'http://child');
  assert.equal(remoteUrl(child, 'shared'), 'http://child');
  assert.equal(child.remoteOption('shared', 'proxy'), 'http://proxy', 'what it lacks comes from the parent');
});

test('cookies', () => {
  const repo = newRepo();
  const header = (url: string) => cookieHeader(repo, 'r', new URL(url));
  assert.equal(header('http://x.org/'), undefined);
  addCookie(repo, 'r', { domain: 'x.org', path: '/', name: 'foo', value: 'bar' });
  addCookie(repo, 'r', { domain: '.y.org', path: '/repo', name: 'deep', value: 'a b' });
  const [first, second] = listCookies(repo, 'r');
  assert.deepEqual(
    { ...first, expires: 0 },
    { domain: 'x.org', subdomains: false, path: '/', secure: false, expires: 0, name: 'foo', value: 'bar' },
  );
  assert.ok(Math.abs((first?.expires ?? 0) - (Date.now() / 1000 + 25 * 365.25 * 86_400)) < 3 * 86_400);
  assert.equal(second?.subdomains, true);
  assert.equal(header('http://x.org/a'), 'foo=bar');
  assert.equal(header('http://sub.x.org/'), undefined);
  assert.equal(header('http://evilx.org/'), undefined);
  assert.equal(header('http://y.org/repo'), 'deep=a b');
  assert.equal(header('http://a.b.y.org:81/repo/x'), 'deep=a b');
  assert.equal(header('http://evily.org/repo'), undefined);
  assert.equal(header('http://y.org/repository'), undefined);
  addCookie(repo, 'r', { domain: 'x.org', path: '/', name: 'foo', value: 'new' });
  addCookie(repo, 'r', { domain: 'x.org', path: '/', name: 'two', value: '2' });
  assert.equal(header('http://x.org/'), 'foo=new; two=2');

  const file = join(repo.path, 'r.cookies.txt');
  const text = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    `# a comment\nx.org\tFALSE\t/\tTRUE\t9999999999\tsafe\t1\nx.org\tFALSE\t/\tFALSE\t1\told\t1\nx.org\tFALSE\t/\tFALSE\tsoon\tbad\t1\nshort\tline\n\0\n${text}`,
  );
  assert.equal(header('http://x.org/'), 'foo=new; two=2');
  assert.equal(header('https://x.org/'), 'safe=1; foo=new; two=2');
  deleteCookie(repo, 'r', { domain: 'x.org', path: '/', name: 'foo' });
  assert.equal(header('http://x.org/'), 'two=2');
  assert.throws(() => deleteCookie(repo, 'r', { domain: 'x.org', path: '/', name: 'foo' }), {
    message: 'Cookie not found in jar',
  });

  assert.throws(() => listCookies(repo, '../../etc/passwd'), { code: 'invalid' });
  for (const wrong of [{ value: 'a\nb' }, { value: 'a\r\nSet: x' }, { name: 'a\tb' }, { domain: '' }, { path: ' ' }]) {
    assert.throws(() => addCookie(repo, 'r', { domain: 'd', path: '/', name: 'n', value: 'v', ...wrong }), {
      code: 'invalid',
    });
  }
});
