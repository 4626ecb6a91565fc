import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { explainApt } from './apt-errors.ts';
import { chooseSources, parseDeb822, parseOneLine, readMachineSources } from './apt-sources.ts';
import { settleDpkg } from './dpkg.ts';
import { listInstalled } from './list-installed.ts';

const DEB822 = `# comment
Types: deb deb-src
URIs: http://deb.debian.org/debian
# comment inside
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://example.org/debian
Suites: bookworm
Components: main
`;

describe('apt sources', () => {
  test('one-line entries', () => {
    const [first, second, ...rest] = parseOneLine(
      '# deb http://no x main\ndeb http://a/debian bookworm main contrib # why\ndeb [arch=amd64,arm64 signed-by=/k.gpg trusted=yes] https://b/x stable main\ndeb-src http://c d e\n',
      'f',
    );
    assert.deepEqual(rest, []);
    assert.deepEqual(first, {
      uri: 'http://a/debian',
      suite: 'bookworm',
      components: ['main', 'contrib'],
      signedBy: undefined,
      trusted: false,
      architectures: [],
      origin: 'f',
    });
    assert.deepEqual([second?.architectures, second?.signedBy, second?.trusted], [['amd64', 'arm64'], '/k.gpg', true]);
  });
  test('deb822', () => {
    const sources = parseDeb822(DEB822, 'f');
    assert.deepEqual(
      sources.map((s) => `${s.uri} ${s.suite} ${s.components}`),
      [
        'http://deb.debian.org/debian bookworm main,contrib',
        'http://deb.debian.org/debian bookworm-updates main,contrib',
        'http://deb.debian.org/debian-security bookworm-security main',
      ],
    );
  });
  test('a key inside the stanza', () => {
    const key = '-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n';
    const field = key.trimEnd().replace(/^$/gm, '.').replace(/^/gm, ' ');
    const [source] = parseDeb822(`Types: deb\nURIs: http://x\nSuites: y\nSigned-By:\n${field}\n`, 'f.sources');
    assert.deepEqual([source?.signedBy, source?.key], [undefined, key]);
  });
  test("the machine's own: Debian of the suite, main only; third parties only when named", () => {
    const etc = mkdtempSync(join(tmpdir(), 'atomic-apt-'));
    try {
      mkdirSync(join(etc, 'sources.list.d'));
      writeFileSync(join(etc, 'sources.list.d/debian.sources'), DEB822);
      writeFileSync(
        join(etc, 'sources.list.d/vendor.list'),
        'deb [signed-by=/v.gpg] https://vendor.example/apt stable main\n',
      );
      writeFileSync(join(etc, 'sources.list.d/old.list.disabled'), 'deb http://deb.debian.org/debian bookworm main\n');
      const machine = readMachineSources(etc);
      const own = chooseSources({}, machine, 'bookworm');
      assert.equal(own.suite, 'bookworm');
      assert.deepEqual(own.lines, [
        'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main',
        'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-updates main',
        'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main',
      ]);
      assert.match(chooseSources({ repos: ['vendor'] }, machine, 'bookworm').lines.at(-1) ?? '', /vendor\.example/);
      assert.throws(() => chooseSources({ repos: ['nosuch'] }, machine, 'bookworm'), /repo 'nosuch' is no file/);
      assert.throws(
        () => chooseSources({ suite: 'trixie' }, machine, 'bookworm'),
        /no Debian source for suite 'trixie'/,
      );
      assert.throws(() => chooseSources({}, machine, undefined), /has no suite/);
      assert.deepEqual(
        chooseSources({ mirror: 'http://m/debian', suite: 's', signedBy: '/k' }, machine, 'bookworm').lines,
        ['deb [signed-by=/k] http://m/debian s main'],
      );
    } finally {
      rmSync(etc, { recursive: true });
    }
  });
});

describe("apt's errors as one line", () => {
  const where = (name: string): string | undefined => (name === 'nosuch' ? 'tree.yaml:7' : undefined);
  const cases: [string, string, RegExp][] = [
    [
      'Reading package lists...\nE: Unable to locate package nosuch\n',
      'not-found',
      /^package 'nosuch' \(tree\.yaml:7\) is in none of the repositories$/,
    ],
    ["E: Package 'old' has no installation candidate\n", 'not-found', /^package 'old' is in none/],
    ["E: Version '9' for 'bash' was not found\n", 'not-found', /'bash' has no version 9/],
    [
      'The following packages have unmet dependencies:\n a : Depends: b (>= 2) but it is not going to be installed\nE: Unable to correct problems, you have held broken packages.\n',
      'invalid',
      /do not fit together: a : Depends: b \(>= 2\)/,
    ],
    [
      "E: Failed to fetch http://m/debian/dists/x/InRelease  Could not resolve 'm'\nE: Some index files failed to download.\n",
      'network',
      /^cannot fetch http:\/\/m\/debian\/dists\/x\/InRelease: Could not resolve 'm'$/,
    ],
    [
      "E: The repository 'http://m/debian x Release' does not have a Release file.\n",
      'network',
      /no repository at 'http:\/\/m\/debian x Release'/,
    ],
    ['dpkg: error: cannot copy: failed to write (No space left on device)\n', 'no-space', /no space left/],
    ["E: You don't have enough free space in /c/archives/.\n", 'no-space', /no space left/],
    [
      "W: GPG error: http://m x InRelease: couldn't be verified because the public key is not available: NO_PUBKEY 0E98404D386FA1D9\n",
      'invalid',
      /key 0E98404D386FA1D9 is missing/,
    ],
    ['E: something else\n', 'failed', /something else/],
  ];
  for (const [output, code, message] of cases) {
    test(`${code}: ${message.source}`, () => {
      const error = explainApt(output, where);
      assert.equal(error?.code, code);
      assert.match(error?.message ?? '', message);
      assert(!error?.message.includes('\n'));
    });
  }
  test('nothing known in it', () => assert.equal(explainApt('all is well', where), undefined));
});

test('dpkg: the database moves below /usr, and lists what is installed, in order of name', () => {
  const status =
    'Package: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n\nPackage: c\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1:3\n';
  const root = mkdtempSync(join(tmpdir(), 'atomic-dpkg-'));
  try {
    mkdirSync(join(root, 'var/lib/dpkg/updates'), { recursive: true });
    mkdirSync(join(root, 'usr/lib'), { recursive: true });
    writeFileSync(join(root, 'var/lib/dpkg/status'), status);
    for (const name of ['status-old', 'lock', 'lock-frontend', 'available'])
      writeFileSync(join(root, 'var/lib/dpkg', name), 'x');
    settleDpkg(root);
    assert.deepEqual(listInstalled(root), [
      { name: 'a', version: '1:3', architecture: 'all' },
      { name: 'b', version: '2', architecture: 'amd64' },
    ]);
    assert.match(
      readFileSync(join(root, 'usr/lib/sysimage/dpkg/status'), 'utf8'),
      /^Package: a\n(.*\n)*Package: b\n(.*\n)*Package: c\n/,
    );
    assert.throws(() => readFileSync(join(root, 'usr/lib/sysimage/dpkg/lock')), /ENOENT/);
  } finally {
    rmSync(root, { recursive: true });
  }
});
