import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { KeyFile } from '@atomic/ostree';
import { BlsEntry, entryFileName, readEntries } from './bootloader/bls.ts';
import { grubConfig } from './bootloader/grub.ts';
import {
  appendKargIfMissing,
  appendKargs,
  deleteKargIfPresent,
  formatKargs,
  kargsFromCommandLine,
  kargValues,
  parseKargs,
  replaceKarg,
  withoutKarg,
} from './kargs.ts';
import { bootChecksum, findKernel } from './kernel.ts';
import { parseBootLink, parseDeploymentName, validateOsName } from './layout.ts';
import { inheritOrigin, isPinned, makeOrigin, originRefspec, requireRefspec } from './origin.ts';
import { encodeStaged, parseStaged, type StagedFile } from './staged-file.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-sysroot-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const C1 = '1'.repeat(64);
const C2 = '2'.repeat(64);

describe('kernel arguments', () => {
  test('spaces in double quotes do not separate', () => {
    const kargs = parseKargs('  quiet root=LABEL=root dyndbg="file a.c +p; func b" ro ');
    assert.deepEqual(kargs, ['quiet', 'root=LABEL=root', 'dyndbg="file a.c +p; func b"', 'ro']);
    assert.equal(formatKargs(kargs), 'quiet root=LABEL=root dyndbg="file a.c +p; func b" ro');
  });
  test('replacing keeps the place and drops repetitions', () => {
    assert.deepEqual(replaceKarg(['a=1', 'b', 'a=2', 'ab=3'], 'a=9'), ['a=9', 'b', 'ab=3']);
    assert.deepEqual(replaceKarg(['b'], 'a=9'), ['b', 'a=9']);
    assert.deepEqual(withoutKarg(['a=1', 'ab=3', 'a'], 'a'), ['ab=3']);
    assert.deepEqual(kargValues(['console=tty0', 'console=ttyS0,115200', 'quiet'], 'console'), [
      'tty0',
      'ttyS0,115200',
    ]);
  });
});

describe('kernel arguments as deploying changes them', () => {
  test('an unclosed quote takes the rest', () => {
    assert.deepEqual(parseKargs('a "b c'), ['a', '"b c']);
  });
  test('one text may append several; a key that is there is not added again', () => {
    assert.deepEqual(appendKargs(['a=1'], ['a=2 b', 'c="d e"']), ['a=1', 'a=2', 'b', 'c="d e"']);
    assert.deepEqual(appendKargIfMissing(['quiet', 'a=1'], 'a=2'), ['quiet', 'a=1']);
    assert.deepEqual(appendKargIfMissing(['quiet'], 'quiet'), ['quiet']);
    assert.deepEqual(appendKargIfMissing(['quietly'], 'quiet'), ['quietly', 'quiet']);
  });
  test('deleting: by value, or by key where that is clear; what is not there is left alone', () => {
    assert.deepEqual(deleteKargIfPresent(['a=1', 'b'], 'a'), ['b']);
    assert.deepEqual(deleteKargIfPresent(['a=1', 'a=2', 'b'], 'a=1'), ['a=2', 'b']);
    assert.deepEqual(deleteKargIfPresent(['a', 'a=2'], 'a'), ['a=2']);
    assert.deepEqual(deleteKargIfPresent(['t="1 2"', 'b'], 't="1 2"'), ['b']);
    assert.deepEqual(deleteKargIfPresent(['b'], 'a=1'), ['b']);
    assert.throws(() => deleteKargIfPresent(['a=1', 'a=2'], 'a'), /Multiple values for key 'a' found/);
    assert.throws(() => deleteKargIfPresent(['a=1'], 'a=2'), /No karg 'a=2' found/);
    assert.throws(() => deleteKargIfPresent(['a=1', 'b'], 'a=1 c'), /No key 'c' found/);
  });
  test('of a running kernel’s, not what its boot loader added', () => {
    assert.deepEqual(kargsFromCommandLine('BOOT_IMAGE=/k initrd=\\i quiet ostree=/x\n'), ['quiet', 'ostree=/x']);
  });
});

describe('names and links', () => {
  test('what is no deployment, boot link or stateroot is refused', () => {
    assert.deepEqual(parseDeploymentName(`${C1}.12`), { checksum: C1, serial: 12 });
    for (const bad of ['x.0', `${C1}`, `${C1}.0.origin`, `${C1}.-1`]) assert.equal(parseDeploymentName(bad), null);
    assert.deepEqual(parseBootLink(`/ostree/boot.1/debian/${C2}/0`), {
      bootVersion: 1,
      os: 'debian',
      bootChecksum: C2,
      bootSerial: 0,
    });
    for (const bad of ['/ostree/boot.2/a/b/0', `/ostree/boot.0/../${C1}/0`, `/ostree/boot.0/a/../0`]) {
      assert.equal(parseBootLink(bad), null);
    }
    for (const bad of ['', '.', '..', 'a/b', 'a b', 'a\0']) assert.throws(() => validateOsName(bad), /stateroot/);
  });
});

describe('boot entries', () => {
  const text = 'title T (ostree:0)\nversion 2\noptions quiet\nlinux /vmlinuz\ninitrd /a.img\ninitrd /b.img\nx-mine 1\n';
  test('round trip, unknown and repeated keys included', () => {
    const entry = BlsEntry.parse(`# comment\n${text}\n`);
    assert.equal(entry.toString(), text);
    assert.deepEqual(entry.all('initrd'), ['/a.img', '/b.img']);
    assert.equal(new BlsEntry().set('linux', '/k').set('title', 'T').toString(), 'title T\nlinux /k\n');
  });
  test('entries sort by version as a number; others are not ours', () => {
    const folder = join(scratch, 'entries');
    mkdirSync(folder);
    for (const version of [9, 10, 1]) writeFileSync(join(folder, `ostree-${version}.conf`), `version ${version}\n`);
    writeFileSync(join(folder, 'memtest.conf'), 'title Memory test\n');
    assert.deepEqual(
      readEntries(folder).map(({ name }) => name),
      ['ostree-10.conf', 'ostree-9.conf', 'ostree-1.conf'],
    );
    assert.equal(entryFileName(3, 0), 'ostree-3.conf');
    assert.deepEqual(readEntries(join(scratch, 'none')), []);
  });
  test('the GRUB menu quotes what its shell would take apart', () => {
    const entry = BlsEntry.parse("title It's 12 (ostree:0)\nversion 1\nlinux /boot/k\ninitrd /boot/i\n");
    const menu = grubConfig([entry], () => ['root=LABEL=root', 'a="b;c $d"', 'console=ttyS0,115200']);
    assert.match(menu, /^menuentry 'It'\\''s 12 \(ostree:0\)' --id ostree-1 \{$/m);
    assert.match(menu, /^ {2}linux \/boot\/k root=LABEL=root 'a="b;c \$d"' console=ttyS0,115200$/m);
    assert.match(menu, /^ {2}initrd \/boot\/i$/m);
    assert.doesNotMatch(menu, /fallback/);
    assert.match(
      grubConfig([entry, entry], () => []),
      /^set fallback=1$/m,
    );
  });
});

describe('origins', () => {
  test('follow a branch; what was true of one deployment is not inherited', () => {
    const origin = KeyFile.parse(
      '[origin]\nrefspec=host:debian/12\nunlocked=hotfix\noverride-commit=x\n[libostree-transient]\npinned=true\n',
    );
    assert.ok(isPinned(origin));
    const next = inheritOrigin(origin);
    assert.equal(originRefspec(next), 'host:debian/12');
    assert.ok(!isPinned(next));
    assert.deepEqual(next.keys('origin'), ['refspec']);
    assert.equal(inheritOrigin(origin, C1).get('origin', 'override-commit'), C1);
    assert.equal(makeOrigin('a:b').toString(), '[origin]\nrefspec=a:b\n');
    assert.throws(() => requireRefspec(new KeyFile()), /no origin/);
  });
});

describe('the staged deployment', () => {
  const staged: StagedFile = {
    target: { os: 'debian', checksum: C1, serial: 0, bootChecksum: C2 },
    mergeDeployment: { os: 'debian', checksum: C2, serial: 3, bootChecksum: C1 },
    kargs: ['root=LABEL=root', 'rw'],
    locked: false,
  };
  test('round trip', () => {
    assert.deepEqual(parseStaged(encodeStaged(staged)), staged);
    const bare = { ...staged, mergeDeployment: null, kargs: null, locked: true };
    assert.deepEqual(parseStaged(encodeStaged(bare)), bare);
    const full = { ...staged, overlayInitrds: [C1, C2], extra: new Map([['x-options', 'a b']]) };
    assert.deepEqual(parseStaged(encodeStaged(full)), full);
  });
  test('damage is said, not followed', () => {
    assert.throws(() => parseStaged(Buffer.alloc(0)), /no target/);
    const outside = { ...staged, target: { ...staged.target, os: '../x' } };
    assert.throws(() => parseStaged(encodeStaged(outside)), /no usable name/);
    assert.throws(() => parseStaged(encodeStaged({ ...staged, overlayInitrds: ['../x'] })), /checksum/);
    const line = { ...staged, extra: new Map([['x', 'a\noptions evil']]) };
    assert.throws(() => parseStaged(encodeStaged(line)), /unusable bootconfig-extra/);
  });
});

describe('kernels', () => {
  const files = (tree: string, content: Record<string, string>) => {
    for (const [path, text] of Object.entries(content)) {
      mkdirSync(join(tree, path, '..'), { recursive: true });
      writeFileSync(join(tree, path), text);
    }
    return tree;
  };
  test('the boot checksum is over kernel then initramfs', () => {
    const tree = files(join(scratch, 'k1'), {
      'usr/lib/modules/6.1/vmlinuz': 'ab',
      'usr/lib/modules/6.1/initramfs.img': 'c',
      'usr/lib/modules/5.0/empty': '',
    });
    const kernel = findKernel(tree);
    assert.equal(kernel.kernel.name, 'vmlinuz-6.1');
    assert.equal(kernel.initramfs?.name, 'initramfs-6.1.img');
    // sha256("abc")
    assert.equal(bootChecksum(kernel), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
  test('old places carry the checksum in the name; a tree without a kernel is refused', () => {
    const old = files(join(scratch, 'k2'), { [`usr/lib/ostree-boot/vmlinuz-4.0-${C1}`]: 'k' });
    assert.equal(bootChecksum(findKernel(old)), C1);
    assert.equal(findKernel(old).kernel.name, 'vmlinuz-4.0');
    const torn = files(join(scratch, 'k3'), {
      [`boot/vmlinuz-4.0-${C1}`]: 'k',
      [`boot/initramfs-4.0-${C2}`]: 'i',
    });
    assert.throws(() => findKernel(torn), /Mismatched kernel checksum/);
    assert.throws(() => findKernel(scratch), /Failed to find kernel/);
  });
});
