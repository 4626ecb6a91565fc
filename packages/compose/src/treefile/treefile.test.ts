import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { debianArchitecture } from './architecture.ts';
import { loadTreefile } from './load-treefile.ts';
import { editDistance, nearest } from './suggest.ts';
import type { Treefile } from './treefile.ts';
import { treefileToJson } from './treefile-json.ts';

const directory = mkdtempSync(join(tmpdir(), 'atomic-treefile-'));
after(() => rmSync(directory, { recursive: true }));
let count = 0;

/** Writes files below a new directory; returns the path of the first. */
function files(content: Record<string, string>): string {
  const base = join(directory, String(count++));
  for (const [name, text] of Object.entries(content)) {
    mkdirSync(dirname(join(base, name)), { recursive: true });
    writeFileSync(join(base, name), text);
  }
  return join(base, Object.keys(content)[0] ?? '');
}
const load = (text: string, more: Record<string, string> = {}) => loadTreefile(files({ 'tree.yaml': text, ...more }));

describe('treefile: what is refused, and how it is said', () => {
  const cases: [name: string, text: string, message: RegExp, hint?: RegExp][] = [
    [
      'unknown key',
      'ref: a\npackags: [x]\n',
      /tree\.yaml:2: unknown key 'packags'; did you mean 'packages'\?$/,
      /allowed keys: .*exclude-packages/,
    ],
    ['underscore for dash', 'add_files: []\n', /:1: unknown key 'add_files'; did you mean 'add-files'\?/],
    ['unknown key, nothing near', 'zzzzzzzz: 1\n', /:1: unknown key 'zzzzzzzz'$/],
    [
      'unknown key inside',
      'initramfs:\n  driver: [a]\n',
      /:2: unknown key 'driver' in 'initramfs'; did you mean 'drivers'\?/,
    ],
    ['a key of rpm-ostree we lack', 'ref: a\nmodules: {}\n', /:2: key 'modules' of rpm-ostree is not supported/],
    ['wrong type', 'ref: a\npackages: bash\n', /:2: 'packages' must be a list, but is the text "bash"/],
    ['wrong type in a list', 'packages:\n  - bash\n  - 7\n', /:3: 'packages\[1\]' must be a text, but is number 7/],
    ['list for a boolean', 'recommends: [1]\n', /:1: 'recommends' must be true or false, but is a list/],
    ['package name', 'packages:\n  - "a;b"\n', /:2: 'packages\[0\]' must be a package name/],
    [
      'option instead of a package',
      'packages:\n  - --allow-unauthenticated\n',
      /:2: 'packages\[0\]' must be a package name/,
    ],
    ['unit name', 'units: [sshd]\n', /:1: 'units\[0\]' must be a unit name with its suffix/],
    ['ref', 'ref: /a\n', /:1: 'ref' must be a ref/],
    ['host name', 'hostname: a_b\n', /:1: 'hostname' must be a host name/],
    ['timestamp', 'timestamp: yesterday\n', /:1: 'timestamp' must be seconds since 1970 or a date/],
    ['empty components', 'components: []\n', /:1: 'components' must not be empty/],
    ['mirror', 'mirror: deb.debian.org\n', /:1: 'mirror' must be a URL/],
    ['YAML', 'a: [1\nb: 2\n', /:\d: not valid YAML/],
    ['same key twice', 'ref: a\nref: b\n', /:2: not valid YAML: Map keys must be unique/],
    ['not a map', '- a\n', /:1: '' must be a map of keys, but is a list/],
    [
      'unset variable',
      'ref: os/${nosuch}\n',
      /:1: 'ref' uses \$\{nosuch\}, which is not set/,
      /set here: \$\{basearch\}/,
    ],
    ['missing added file', 'add-files:\n  - [nofile, /x]\n', /:2: 'add-files' names nofile, but there is no such file/],
    [
      'added file from outside',
      'add-files:\n  - [/etc/passwd, /x]\n',
      /:2: 'add-files' names \/etc\/passwd, which is outside/,
    ],
    [
      'added file by ..',
      'add-files:\n  - [../../../../../../../etc/passwd, /x]\n',
      /:2: 'add-files' names .*, which is outside/,
    ],
    [
      'destination not absolute',
      'add-files:\n  - [tree.yaml, x]\n',
      /:2: 'add-files\[0\]\[1\]' must be an absolute path/,
    ],
    [
      'destination with ..',
      'add-files:\n  - [tree.yaml, /a/../../x]\n',
      /:2: 'add-files\[0\]\[1\]' must not contain \.\./,
    ],
    ['destination missing', 'add-files:\n  - [tree.yaml]\n', /:2: 'add-files\[0\]' must be a pair/],
    [
      'remove-files absolute',
      'remove-files: [/etc/passwd]\n',
      /:1: 'remove-files' names \/etc\/passwd, but must be relative/,
    ],
    [
      'remove-files with ..',
      'remove-files: [a/../../b]\n',
      /:1: 'remove-files' names a\/\.\.\/\.\.\/b, but must be relative/,
    ],
    [
      'script from outside',
      'postprocess-script: /bin/true\n',
      /:1: 'postprocess-script' names \/bin\/true, which is outside/,
    ],
    [
      'missing include',
      'ref: a\ninclude: nosuch.yaml\n',
      /cannot read treefile .*nosuch\.yaml \(named by .*tree\.yaml:2\): no such file/,
    ],
  ];
  for (const [name, text, message, hint] of cases) {
    test(name, () => {
      assert.throws(
        () => load(text),
        (error) => {
          assert(error instanceof AtomicError);
          assert.match(error.message, message);
          assert(!error.message.includes('\n'), 'one line');
          if (hint !== undefined) assert.match(error.hint ?? '', hint);
          return true;
        },
      );
    });
  }

  test('a link out of the directory', () => {
    const path = files({ 'tree.yaml': 'add-files:\n  - [link, /x]\n' });
    symlinkSync('/etc/passwd', join(dirname(path), 'link'));
    assert.throws(() => loadTreefile(path), /which is outside the treefile's directory/);
  });
  test('includes in a circle', () => {
    assert.throws(
      () => load('include: b.yaml\n', { 'b.yaml': 'ref: b\ninclude: tree.yaml\n' }),
      /b\.yaml:2: 'include' goes round in a circle: tree\.yaml → b\.yaml → tree\.yaml/,
    );
  });
  test('aliases that grow without end', () => {
    const bomb = Array.from(
      { length: 12 },
      (_, i) =>
        `k${i}: &a${i} [${
          i === 0
            ? 'x'
            : Array(10)
                .fill(`*a${i - 1}`)
                .join(',')
        }]`,
    ).join('\n');
    assert.throws(() => load(`${bomb}\n`), AtomicError);
  });
});

describe('treefile: what it means', () => {
  test('includes: scalars of the including file win, then of the first; lists are joined, the first just before', () => {
    const tree = load('include: [a.yaml, sub/b.yaml]\nref: own/${basearch}\npackages: [c]\nrecommends: false\n', {
      'a.yaml': 'ref: a\nversion: 1\npackages: [a1 a2]\nkernel-arguments: [quiet]\n',
      'sub/b.yaml': 'version: 2\npackages: [b]\nadd-files: [[f, /etc/f]]\npostprocess: ["echo b ${not_ours}"]\n',
      'sub/f': 'text',
    });
    assert.equal(tree.ref, `own/${debianArchitecture()}`);
    assert.equal(tree.version, '1');
    assert.deepEqual(
      tree.packages.map((p) => p.value),
      ['b', 'a1', 'a2', 'c'],
    );
    assert.deepEqual(
      tree.packages.map((p) => p.line),
      [2, 3, 3, 3],
    );
    assert.deepEqual(tree.kernelArguments, ['quiet']);
    assert.equal(tree.recommends, false);
    assert.equal(tree.documentation, true);
    assert.equal(tree.addFiles[0]?.value.source, join(dirname(tree.path), 'sub/f'));
    assert.equal(tree.postprocess[0]?.value, 'echo b ${not_ours}');
    assert.equal(JSON.parse(JSON.stringify(treefileToJson(tree)))['add-files'][0][0], 'sub/f');
  });
  test('the digest changes with an added file, and with nothing else', () => {
    const digest = (content: string) => load('add-files: [[f, /f]]\n', { f: content }).digest;
    assert.equal(digest('1'), digest('1'));
    assert.notEqual(digest('1'), digest('2'));
  });
  test('the digest of an added folder: links as they are, empty folders too', () => {
    const digest = (change: (folder: string) => void): string => {
      const path = files({ 'tree.yaml': 'add-files: [[d, /d]]\n', 'd/f': '1' });
      change(join(dirname(path), 'd'));
      return loadTreefile(path).digest;
    };
    const linked = (target: string): string => digest((folder) => symlinkSync(target, join(folder, 'link')));
    const outside = join(directory, 'outside');
    writeFileSync(outside, '1');
    const first = linked(outside);
    writeFileSync(outside, '2');
    assert.equal(linked(outside), first, 'what a link leads to on this machine is nothing to the tree');
    const all = [first, linked('/nowhere'), linked('/elsewhere'), linked('.'), digest(() => {})];
    all.push(digest((folder) => mkdirSync(join(folder, 'empty'))));
    assert.equal(new Set(all).size, all.length);
  });
  test('timestamps', () => {
    assert.equal(load('timestamp: 12\n').timestamp, 12);
    assert.equal(load('timestamp: 2026-01-01T00:00:00Z\n').timestamp, 1767225600);
  });
  test('postprocess runs in the order that rpm-ostree documents', () => {
    const tree = load('include: [kernel.yaml, bootupd.yaml]\npostprocess: [echo foo]\npostprocess-script: s.sh\n', {
      'kernel.yaml': 'postprocess: [echo bar]\npostprocess-script: other.sh\n',
      'bootupd.yaml': 'postprocess: [echo baz]\n',
      's.sh': 'last',
      'other.sh': 'overridden',
    });
    assert.deepEqual(
      tree.postprocess.map((script) => script.value),
      ['echo baz', 'echo bar', 'echo foo', 'last'],
    );
  });
  test('includes by architecture and by condition, of files and inlined', () => {
    const text = `variables:
  devel: true
  stream: "testing"
releasever: 40
packages-amd64: [own]
packages-aarch64: [own]
packages-s390x: [other]
arch-include:
  x86_64: here.yaml
  arm64: [here.yaml]
  s390x: nosuch.yaml
conditional-include:
  - if: devel == true
    include: devel.yaml
  - if: [releasever >= 40, stream == "testing"]
    include:
      packages: [inlined]
      hostname: inlined
  - if: stream != "testing"
    include: nosuch.yaml
  - if: late == "known"
    include: nosuch.yaml
ref: os/\${basearch}/\${stream}
`.replaceAll('\\$', '$');
    const tree = load(text.replace(/ {2}- if: late.*\n.*yaml\n/, ''), {
      'here.yaml': 'packages: [here]\nhostname: here\nvariables: {stream: stable, late: known}\n',
      'devel.yaml': 'packages: [devel]\nhostname: devel\n',
    });
    assert.deepEqual(
      tree.packages.map((p) => p.value),
      ['devel', 'here', 'inlined', 'own'],
    );
    assert.equal(tree.hostname, 'inlined');
    assert.equal(tree.ref, `os/${tree.variables.get('basearch')}/testing`);
    assert.throws(
      () => load(text, { 'here.yaml': '', 'devel.yaml': '' }),
      /:21: 'if' is late == "known", but variable 'late' is not set/,
    );
    const wrong = (condition: string): AtomicError => {
      try {
        load(`variables: {n: 1, s: x}\nconditional-include:\n  - if: ${condition}\n    include: {}\n`);
      } catch (error) {
        if (error instanceof AtomicError) return error;
      }
      return assert.fail(condition);
    };
    assert.match(wrong('n == "1"').message, /:3: 'if' is n == "1", but 'n' is 1, which is not of the same type as "1"/);
    assert.match(wrong('s < "y"').message, /< is for numbers only/);
    assert.match(wrong('n = 1').message, /:3: 'conditional-include\[0\]\.if' must be a condition|must be VARIABLE/);
  });
  test('a file that is included twice, an inlined treefile that names files, a reserved variable', () => {
    assert.throws(
      () => load('include: [a.yaml, b.yaml]\n', { 'a.yaml': 'include: b.yaml\n', 'b.yaml': '' }),
      /tree\.yaml:1: b\.yaml is included twice/,
    );
    assert.throws(
      () =>
        load(
          'releasever: 1\nconditional-include:\n  - if: releasever == 1\n    include:\n      add-files: [[f, /f]]\n',
        ),
      /:5: an inlined treefile cannot have 'add-files'/,
    );
    assert.throws(() => load('variables: {basearch: x}\n'), /:1: 'variables' sets basearch/);
    assert.throws(() => load('basearch: sparc\n'), /:1: 'basearch' is sparc, which is no architecture known here/);
  });
  test('a tree for another architecture: the outermost file says so, by either name', () => {
    const [other, deb, rpm] = arch() === 'arm64' ? ['x64', 'amd64', 'x86_64'] : ['arm64', 'arm64', 'aarch64'];
    for (const name of [deb, rpm]) {
      const tree = load(`basearch: ${name}\ninclude: a.yaml\narch-include: {${rpm}: b.yaml}\n`, {
        'a.yaml': `ref: os/\${basearch}\npackages-${deb}: [theirs]\npackages-${debianArchitecture()}: [ours]\n`,
        'b.yaml': `basearch: ${deb}\nsuite: bookworm\nconditional-include:\n  - if: basearch == "${rpm}"\n    include: {hostname: yes-it-is}\n`,
      });
      assert.equal(tree.machine, other);
      assert.equal(tree.ref, `os/${deb}`);
      assert.equal(tree.hostname, 'yes-it-is');
      assert.deepEqual(
        tree.packages.map((p) => p.value),
        ['theirs'],
      );
    }
    assert.equal(load('').machine, arch());
    assert.throws(
      () => load('include: a.yaml\n', { 'a.yaml': `basearch: ${deb}\n` }),
      new RegExp(`a\\.yaml:1: 'basearch' is ${deb}, but the tree is for ${debianArchitecture()}`),
    );
  });
  test('variables from outside count most', () => {
    const path = files({ 'tree.yaml': 'variables: {stream: testing}\nref: os/${stream}\n' });
    assert.equal(loadTreefile(path, new Map([['stream', 'stable']])).ref, 'os/stable');
  });
  test('JSON: unknown keys are comments; former names of keys', () => {
    const path = files({
      'tree.json': '{"comment-x": 1, "ref": "a", "default_target": "rescue.target", "packages": ["a  b"]}',
    });
    const tree = loadTreefile(path);
    assert.equal(tree.defaultTarget, 'rescue.target');
    assert.equal(tree.packages.length, 2);
    assert.throws(() => load('boot_location: new\n'), /:1: 'boot-location' must be modules/);
    assert.throws(
      () => load('default-target: a.target\ndefault_target: b.target\n'),
      /:2: 'default_target' and 'default-target' are the same key/,
    );
  });
  test('packages with a version asked for; the same package from two repositories', () => {
    const tree = load(`packages: ["corge 'quuz >= 1.0' x"]
repo-packages:
  - {repo: one, packages: [a b]}
  - {repo: two, packages: [b]}
`);
    assert.deepEqual(
      tree.packages.map((p) => p.value),
      ['corge', 'x', 'quuz >= 1.0'],
    );
    assert.deepEqual(
      tree.repoPackages.map((one) => one.value),
      [
        { repo: 'one', packages: ['a'] },
        { repo: 'two', packages: ['b'] },
      ],
    );
    assert.throws(() => load(`packages: ["'a >= 1"]\n`), /:1: 'a >= 1 has a quote without its partner/);
  });
  test('a kickstart file, as far as packages go', () => {
    const tree = load('include: os.ks\npackages: [own]\n', {
      'os.ks': '# comment\n%include sub/more.ks\n\n%packages --exclude-weakdeps\nbash\n-nano\n@core\n%end\n',
      'sub/more.ks': '%packages\nvim\n%end\n',
    });
    assert.deepEqual(
      tree.packages.map(({ value, line }) => [value, line]),
      [
        ['vim', 2],
        ['bash', 5],
        ['@core', 7],
        ['own', 2],
      ],
    );
    assert.deepEqual([tree.excludePackages, tree.recommends], [['nano'], false]);
    for (const [text, message] of [
      ['%packages\na\n', /os\.ks:1: %packages has no %end/],
      ['network --bootproto=dhcp\n', /os\.ks:1: network is not supported/],
      ['%include /etc/passwd\n', /which is not below/],
      ['%packages --nocore\n%end\n', /--nocore, which is not supported/],
      ['%packages\na;b\n%end\n', /os\.ks:2: 'packages\[0\]' must be a package name/],
    ] as const)
      assert.throws(() => load('include: os.ks\n', { 'os.ks': text }), message);
  });
  test('a treefile for RPMs is known by its repositories', () => {
    const text =
      'repos: [fedora]\nreleasever: 40\nref: os/${basearch}/${releasever}\npackages: [NetworkManager, "@core", glibc.i686]\n';
    const tree = load(text, { 'fedora.repo': '[fedora]\nname=x\n' });
    assert.equal(tree.family, 'rpm');
    assert.match(tree.ref ?? '', /^os\/(x86_64|aarch64)\/40$/);
    assert.equal(load(text.replace('repos: [fedora]', 'suite: sid')).family, 'deb');
  });
  test('what it prints is a treefile that means the same', () => {
    const tree = load(
      `ref: a
packages: [b, "'c >= 1'"]
remove-from-packages: [[cpio, /usr/share/.*]]
check-passwd: {type: data, entries: {root: 0, adm: [3, 4]}}
check-groups: {type: file, filename: group}
add-commit-metadata: {x: [1, {y: null}]}
install-langs: [de, en_US]
opt-usrlocal: root
edition: "2024"
`,
      { group: 'root:x:0:\n' },
    );
    const json = treefileToJson(tree);
    const again = join(dirname(tree.path), 'again.json');
    writeFileSync(again, JSON.stringify(json));
    const meaning = ({ path: _path, files: _files, digest: _digest, ...rest }: Treefile): object => rest;
    const plain = (value: object): unknown =>
      JSON.parse(
        JSON.stringify(value, (key, one) =>
          key === 'file' || key === 'line' ? undefined : one instanceof Map ? [...one] : one,
        ),
      );
    assert.deepEqual(plain(meaning(loadTreefile(again))), plain(meaning(tree)));
  });
  test('an empty file is an empty treefile', () => assert.equal(load('').ref, undefined));
});

test('nearest', () => {
  assert.equal(editDistance('abc', 'acb'), 1);
  assert.equal(editDistance('', 'abc'), 3);
  assert.equal(nearest('pakages', ['packages', 'repos']), 'packages');
  assert.equal(nearest('x', ['packages', 'repos']), undefined);
});
