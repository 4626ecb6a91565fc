import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readMounts } from '@atomic/linux';
import { risksOf } from '../consent/risks.ts';
import { labelVariables } from '../labels/image-labels.ts';
import { substitute } from '../labels/substitute.ts';
import { readWords } from '../labels/words.ts';
import { chooseScanner, listScanners } from '../scan/scanner.ts';
import { createWords, parseDefinition, readDefinition, setupScript } from './definition.ts';
import { findProfile, listProfiles } from './profile.ts';
import { slaveSuffix } from './propagation.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-spc-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const user = { name: 'ann', uid: 1000, gid: 1000, home: '/home/ann' };

test('profiles: those that are built in are whole, and a file of one’s own comes before them', () => {
  const context = { name: 'n', image: 'i:1', environment: {}, folder: '/', uid: 0, gid: 0 };
  for (const profile of listProfiles([])) {
    for (const text of [profile.run, profile.install, profile.uninstall]) {
      if (text === undefined) continue;
      const words = substitute(text, labelVariables(context), profile.kind);
      assert.equal(words.filter((word) => word === 'i:1').length, 1, profile.kind);
      assert.ok(risksOf(words).some(({ id }) => id === 'privileged'));
    }
  }
  writeFileSync(join(folder, 'tools.yaml'), 'description: mine\nrun: docker run IMAGE\n');
  writeFileSync(join(folder, 'Not a profile.yaml'), 'x');
  assert.equal(findProfile('tools', [folder]).description, 'mine');
  assert.throws(() => findProfile('none', [folder]), { hint: /rsyslog, sadc, tools/ });
  mkdirSync(join(folder, 'bad'));
  writeFileSync(join(folder, 'bad/x.yaml'), 'run: a\nrnu: b\n');
  assert.throws(() => listProfiles([join(folder, 'bad')]), /bad\/x\.yaml: .*rnu/);
});

test('a shell is made as its definition says', () => {
  const text =
    'image: d:12\npackages: [git, gdb]\nmounts: ["~/x", "/srv:/s:ro"]\nenv: {A: b c}\nsetup: [touch /made]\n';
  const one = parseDefinition(text, 'f');
  const words = createWords(['docker'], user, one);
  const of = (option: string): string[] => words.filter((_, at) => words[at - 1] === option);
  assert.deepEqual(
    of('-v').map((mount) => mount.replace(/:rslave$/, '')),
    ['/:/host', '/home/ann:/home/ann', '/home/ann/x:/home/ann/x', '/srv:/s:ro'],
  );
  assert.ok(of('-e').includes('A=b c'));
  assert.ok(words.includes('--name=atomic-shell-ann-shell'));
  assert.match(setupScript(user, one), /apt-get install .* 'git' 'gdb'\n[\s\S]*touch \/made$/);
  assert.ok(
    risksOf(words).some(({ id }) => id === 'mount:/'),
    'what it wants is told',
  );
});

test('the examples are what they should be', () => {
  const examples = join(import.meta.dirname, '../../../../examples/containers');
  assert.equal(readDefinition(join(examples, 'shell.yaml')).name, 'work');
  mkdirSync(join(folder, 'mine'));
  copyFileSync(join(examples, 'profile-netcheck.yaml'), join(folder, 'mine/netcheck.yaml'));
  const { run } = findProfile('netcheck', [join(folder, 'mine')]);
  assert.deepEqual(
    risksOf(readWords(run, 'run')).map(({ id }) => id),
    ['network'],
  );
  mkdirSync(join(folder, 'drops'));
  copyFileSync(join(examples, 'scanner.yaml'), join(folder, 'drops/finder'));
  const scanners = listScanners(join(folder, 'drops'));
  assert.deepEqual(chooseScanner(scanners, undefined, 'deep').args, ['find-holes', '--all']);
  assert.throws(() => chooseScanner(scanners, 'finder', 'odd'), { hint: 'it has quick, deep' });
});

test('a definition that cannot be is refused with the reason', () => {
  for (const [text, why] of [
    ['packages: [x]', /image/],
    ['image: x\npackages: ["-o=evil"]', /packages → 0: is not the name of a package/],
    ['image: x\npackages: ["a; rm -rf /"]', /is not the name of a package/],
    ['image: x\nmounts: ["../x"]', /is no mount/],
    ['image: x\nname: "a/b"', /name/],
    ['image: x\nenv: {"A B": c}', /env → A B/],
    ['image: x\nimgae: y', /imgae/],
    ['image: [', /is not YAML/],
  ] as const)
    assert.throws(() => parseDefinition(text, 'f'), why, text);
});

test('mounts propagate where what holds the folder is shared', () => {
  const mounts = readMounts(
    [
      '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      '23 22 8:2 / /home rw - ext4 /dev/sda2 rw',
      '24 22 8:3 / /mnt/a\\040b rw master:4 - ext4 /dev/sda3 rw',
    ].join('\n'),
  );
  assert.equal(slaveSuffix('/', mounts), ':rslave');
  assert.equal(slaveSuffix('/homes', mounts), ':rslave');
  assert.equal(slaveSuffix('/home/ann', mounts), '');
  assert.equal(slaveSuffix('/mnt/a b/c', mounts), ':rslave');
});
