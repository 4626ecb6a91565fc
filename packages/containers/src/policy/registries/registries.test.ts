import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatImageName, parseImageName } from '@atomic/oci';
import { trustPaths } from '../trust-paths.ts';
import { convertRegistries } from './convert-registries.ts';
import { loadRegistries } from './load-registries.ts';
import { parseRegistriesFile } from './parse-registries.ts';
import { recordAlias } from './record-alias.ts';
import type { RegistriesConfig } from './registries-config.ts';
import { localNames, resolveImage } from './resolve-image.ts';

/** Reads registries.conf, its drop-ins and the aliases that were chosen, as files. */
function load(conf: string, dropIns: Record<string, string> = {}, chosen = ''): RegistriesConfig {
  const root = mkdtempSync(join(tmpdir(), 'atomic-registries-'));
  try {
    const folder = join(root, 'etc/containers');
    mkdirSync(join(folder, 'registries.conf.d/sub.conf'), { recursive: true });
    mkdirSync(join(root, 'var/cache/containers'), { recursive: true });
    writeFileSync(join(folder, 'registries.conf'), conf);
    for (const [name, text] of Object.entries(dropIns)) writeFileSync(join(folder, 'registries.conf.d', name), text);
    if (chosen !== '') writeFileSync(join(root, 'var/cache/containers/short-name-aliases.conf'), chosen);
    return loadRegistries(trustPaths({ root, privileged: true }));
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Where each candidate of a name is fetched from; `!` marks what is insecure, `BLOCKED` what is not fetched. */
const places = (text: string, config: RegistriesConfig): string[][] =>
  resolveImage(parseImageName(text), config).candidates.map(({ sources, blocked }) =>
    blocked === undefined
      ? sources.map(({ ref, insecure }) => `${formatImageName(ref)}${insecure ? '!' : ''}`)
      : ['BLOCKED'],
  );

test('mirrors, remaps, blocks: the longest prefix holds', () => {
  const config = load(`
    [[registry]]
    prefix = "example.com/foo"
    location = "internal.example/bar"
    [[registry.mirror]]
    location = "mirror-0.local/mirror-for-foo/"
    [[registry.mirror]]
    location = "mirror-1.local/mirrors/foo"
    insecure = true
    pull-from-mirror = "digest-only"
    [[registry.mirror]]
    location = "mirror-2.local"
    pull-from-mirror = "tag-only"
    [[registry]]
    location = "example.com"
    blocked = true
    [[registry]]
    prefix = "*.example.org"
    insecure = true
    [[registry]]
    prefix = "*.sub.example.org"
    location = "sub.local"
    [[registry]]
    prefix = "docker.io/library"
    location = "hub.local/official"
    [[registry]]
    location = "digests.example"
    mirror-by-digest-only = true
    [[registry.mirror]]
    location = "m.digests.example"
  `);
  const digest = `sha256:${'a'.repeat(64)}`;
  const table: [string, string[]][] = [
    [
      'example.com/foo/img',
      ['mirror-0.local/mirror-for-foo/img:latest', 'mirror-2.local/img:latest', 'internal.example/bar/img:latest'],
    ],
    [
      `example.com/foo/img@${digest}`,
      [
        `mirror-0.local/mirror-for-foo/img@${digest}`,
        `mirror-1.local/mirrors/foo/img@${digest}!`,
        `internal.example/bar/img@${digest}`,
      ],
    ],
    ['example.com/foobar:1', ['BLOCKED']],
    ['example.com:5000/x:1', ['BLOCKED']],
    ['example.com.evil/x:1', ['example.com.evil/x:1']],
    ['a.example.org/x:1', ['a.example.org/x:1!']],
    ['a.b.example.org:80/x:1', ['a.b.example.org:80/x:1!']],
    ['example.org/x:1', ['example.org/x:1']],
    ['x.example/a.example.org/y:1', ['x.example/a.example.org/y:1']],
    ['a.sub.example.org/x:1', ['sub.local/x:1']],
    ['docker.io/busybox', ['hub.local/official/busybox:latest']],
    ['index.docker.io/busybox', ['hub.local/official/busybox:latest']],
    ['docker.io/me/app:2', ['docker.io/me/app:2']],
    ['digests.example/x:1', ['digests.example/x:1']],
    [`digests.example/x:1@${digest}`, [`m.digests.example/x@${digest}`, `digests.example/x@${digest}`]],
  ];
  for (const [name, expected] of table) assert.deepEqual(places(name, config), [expected], name);
});

test('a prefix may be one tag, as the documentation says (podman 5 passes such a prefix over)', () => {
  const config = load('[[registry]]\nlocation = "a.b/c:1"\nblocked = true\n');
  assert.deepEqual(places('a.b/c:1', config), [['BLOCKED']]);
  assert.deepEqual(places('a.b/c:12', config), [['a.b/c:12']]);
});

test('short names: aliases, then search registries; what was chosen goes before what is configured', () => {
  const config = load(
    `unqualified-search-registries = ["one.example", "two.example:5000"]
     [aliases]
     "app" = "shop.example/group/app"
     "gone" = "shop.example/gone"
     "mine" = "shop.example/mine"`,
    { '10.conf': '[aliases]\n"gone" = ""\n', 'ignored.txt': 'not = TOML = at all' },
    '[aliases]\n"mine" = "chosen.example/mine"\n',
  );
  assert.deepEqual(places('app:2', config), [['shop.example/group/app:2']]);
  assert.deepEqual(places('mine', config), [['chosen.example/mine:latest']]);
  assert.deepEqual(places('gone', config), [['one.example/gone:latest'], ['two.example:5000/gone:latest']]);
  assert.equal(resolveImage(parseImageName('gone'), config).ask, 'should');
  assert.equal(resolveImage(parseImageName('app'), config).ask, undefined);
  assert.deepEqual(localNames(parseImageName('app'), config).map(formatImageName), [
    'shop.example/group/app:latest',
    'localhost/app:latest',
    'one.example/app:latest',
    'two.example:5000/app:latest',
  ]);
  assert.throws(() => resolveImage(parseImageName('app2'), load('')), /does not say which registry/);
  const mode = (text: string) =>
    resolveImage(parseImageName('x'), load(`unqualified-search-registries = ["a.b", "c.d"]\n${text}`)).ask;
  assert.equal(mode('short-name-mode = "enforcing"'), 'must');
  assert.equal(mode('short-name-mode = "disabled"'), undefined);
});

test('drop-ins: later files win, by prefix; an empty list takes the search away', () => {
  const config = load('unqualified-search-registries = ["a.b"]\n[[registry]]\nlocation = "x.y"\nblocked = true\n', {
    '1.conf': '[[registry]]\nlocation = "x.y"\ninsecure = true\n',
    '2.conf': 'unqualified-search-registries = []\nshort-name-mode = "disabled"\n',
  });
  assert.deepEqual(places('x.y/app', config), [['x.y/app:latest!']]);
  assert.deepEqual(config.search, []);
  assert.equal(config.shortNameMode, 'disabled');
  assert.match(config.searchFile ?? '', /2\.conf$/);
});

test('the old form says the same, and is told to be old', () => {
  const config = load(`
    [registries.search]
    registries = ['one.example', 'two.example']
    [registries.insecure]
    registries = ['plain.example', 'bad.example/']
    [registries.block]
    registries = ['bad.example']
  `);
  assert.deepEqual(places('app', config), [['one.example/app:latest'], ['two.example/app:latest']]);
  assert.deepEqual(places('plain.example/app', config), [['plain.example/app:latest!']]);
  assert.deepEqual(places('bad.example/app', config), [['BLOCKED']]);
  assert.equal(config.oldFiles.length, 1);
});

test('the old form, converted, says the same', () => {
  const folder = mkdtempSync(join(tmpdir(), 'atomic-convert-'));
  try {
    const file = join(folder, 'registries.conf');
    const old =
      "[registries.search]\nregistries = ['a.b', 'c.d:1']\n[registries.insecure]\nregistries = ['c.d:1']\n[registries.block]\nregistries = ['e.f', 'c.d:1']\n";
    writeFileSync(file, old);
    const converted = parseRegistriesFile(convertRegistries(file), 'new');
    assert.equal(converted.version, 2);
    assert.deepEqual({ ...converted, version: 1 }, parseRegistriesFile(old, 'new'));
    writeFileSync(file, convertRegistries(file));
    assert.throws(() => convertRegistries(file), { code: 'exists' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what is malformed is refused, and where it stands', () => {
  const table: [string, RegExp][] = [
    ['x = ', /file: line 1/],
    ['unqualified-search-registries = "one"', /unqualified-search-registries/],
    ['unqualified-search-registries = ["https://a.b"]', /without https/],
    ['unqualified-search-registries = ["a.b/c"]', /not a host/],
    ['[[registry]]\nblocked = true', /neither prefix nor location/],
    ['[[registry]]\nprefix = "a.b"', /has no location/],
    ['[[registry]]\nprefix = "*.a.b/c"\nlocation = "d.e"', /wildcard/],
    ['[[registry]]\nlocation = "a.b"\npull-from-mirror = "all"', /registry\.mirror/],
    ['[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\ninsecure = true', /no location/],
    [
      '[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = "c.d"\npull-from-mirror = "never"',
      /pull-from-mirror/,
    ],
    [
      '[[registry]]\nlocation = "a.b"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "c.d"\npull-from-mirror = "all"',
      /only one/,
    ],
    [
      '[[registry]]\nprefix = "x.y"\nlocation = "a.b"\nblocked = true\n[[registry]]\nprefix = "z.y"\nlocation = "a.b"',
      /twice/,
    ],
    ['short-name-mode = "loud"', /short-name-mode/],
    ['[aliases]\n"a.b/c" = "d.e/f"', /not a short name/],
    ['[aliases]\n"c:1" = "d.e/f"', /neither tag nor digest/],
    ['[aliases]\n"c" = "d/f"', /must begin with a registry/],
    ['[aliases]\n"c" = "d.e/f:1"', /neither tag nor digest/],
    ['[registries.search]\nregistries = []\n[[registry]]\nlocation = "a.b"', /mixed/],
  ];
  for (const [text, why] of table) assert.throws(() => parseRegistriesFile(text, 'file'), why, text);
  assert.throws(() => parseRegistriesFile('[registries.block]\nregistries = []', 'f', { dropIn: true }), /old form/);
});

test('a choice is recorded beside what was chosen before, and counts from then on', async () => {
  const root = mkdtempSync(join(tmpdir(), 'atomic-alias-'));
  try {
    const paths = trustPaths({ root, privileged: true });
    await recordAlias(paths.shortNameAliases, 'app', 'shop.example/app');
    await recordAlias(paths.shortNameAliases, 'group/tool', 'shop.example/group/tool');
    await recordAlias(paths.shortNameAliases, 'app', 'other.example/app');
    assert.deepEqual(places('app:1', loadRegistries(paths)), [['other.example/app:1']]);
    assert.deepEqual(places('group/tool', loadRegistries(paths)), [['shop.example/group/tool:latest']]);
    assert.match(readFileSync(paths.shortNameAliases, 'utf8'), /^\[aliases\]/m);
  } finally {
    rmSync(root, { recursive: true });
  }
});
