import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readFileAt } from '@atomic/ostree';
import { LayeringLab, missing } from './layering-lab.ts';

const MIB = 1024 * 1024;

/** Packages whose scripts mean harm, or do it by mistake: contained, bounded, named, and nothing is changed. */
describe('hostile packages', { skip: missing() }, () => {
  let lab: LayeringLab;
  before(async () => {
    lab = await LayeringLab.open();
  });
  after(() => lab[Symbol.dispose]());

  test('a script sees nothing of the machine, and reaches none of it', async () => {
    const sentinel = '/tmp/atomic-layering-sentinel';
    writeFileSync(sentinel, 'here');
    const server = createServer((_, response) => response.end('reached'));
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    server.unref();
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8');
    const tries = {
      'kernel settings': 'echo "|/bin/false" > /proc/sys/kernel/core_pattern',
      sysrq: 'echo h > /proc/sysrq-trigger',
      'a block device': 'mknod /tmp/disk b 8 0',
      'a mount': 'mkdir -p /tmp/m && mount -t tmpfs none /tmp/m',
      'a remount': 'mount -o remount,rw /proc/sys',
      'the network': `exec 3<>/dev/tcp/127.0.0.1/${port}`,
      'files of the machine': `test -e ${sentinel}`,
      'its disk': 'ls /sysroot/ostree/repo',
      'its processes': 'test "$(ls -d /proc/[0-9]* | wc -l)" -gt 40',
      'another process': `kill -0 ${process.pid}`,
      'its clock': 'date -s 2001-01-01',
      'its name': 'hostname stolen',
      'the cache of packages': 'touch /var/cache/apt/archives/x || touch /var/lib/apt/lists/x',
      modules: 'echo x > /run/x.ko && insmod /run/x.ko',
      'handles of files': 'chattr +i /usr/bin/env',
    };
    const script = Object.entries(tries)
      .map(
        ([name, command]) =>
          `if bash -c '${command.replaceAll("'", `'\\''`)}' >/dev/null 2>&1; then echo "${name}: DONE"; else echo "${name}: refused"; fi`,
      )
      .join('\n');
    const nosy = lab.deb({ name: 'escape', scripts: { postinst: `{\n${script}\n} > /usr/share/escape-report` } });
    const { commit } = await lab.assemble({ local: [nosy] });
    server.close();
    rmSync(sentinel);
    assert.ok(commit !== null);
    const report = readFileAt(lab.sysroot.repo, commit, '/usr/share/escape-report').toString();
    assert.deepEqual(
      report.trim().split('\n'),
      Object.keys(tries).map((name) => `${name}: refused`),
    );
    assert.equal(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), pattern);
    lab.assertNothingLeft();
  });

  test('exit 1: the package, the script and its last words', async () => {
    const broken = lab.deb({ name: 'broken', scripts: { postinst: 'echo "cannot find my hat" >&2; exit 1' } });
    const error = await lab.fails(
      { local: [broken] },
      /^package 'broken': its postinst failed with status 1: cannot find my hat$/,
    );
    assert.match(error.hint ?? '', /nothing was changed/);
    const early = lab.deb({ name: 'early', scripts: { preinst: 'exit 7' } });
    await lab.fails({ local: [early] }, /^package 'early': its preinst failed with status 7$/);
  });

  test('one that hangs', async () => {
    const hang = lab.deb({ name: 'hang', scripts: { postinst: 'sleep 1000' } });
    await lab.fails({ local: [hang] }, /^package 'hang': its postinst did not end within \d+ s and was stopped$/, {
      limits: { scriptSeconds: 2 },
    });
  });

  test('one that hangs and will not be told to stop, with a child that hides', async () => {
    const stubborn = lab.deb({
      name: 'stubborn',
      scripts: {
        postinst:
          'trap "" TERM INT HUP\nsetsid sh -c "trap \'\' TERM; while :; do sleep 1; done" &\nwhile :; do :; done',
      },
    });
    await lab.fails({ local: [stubborn] }, /^package 'stubborn': its postinst did not end within/, {
      limits: { scriptSeconds: 2 },
    });
  });

  test('a fork bomb', async () => {
    const bomb = lab.deb({ name: 'bomb', scripts: { postinst: 'b() { b | b & }; b; sleep 60' } });
    await lab.fails(
      { local: [bomb] },
      /^package 'bomb': its postinst started more than 200 processes and was stopped$/,
      {
        limits: { processes: 200, scriptSeconds: 60 },
      },
    );
  });

  test('one that takes all memory', async () => {
    const glutton = lab.deb({
      name: 'glutton',
      scripts: { postinst: 'head -c 4000000000 /dev/zero | tail -c 3999999999 > /dev/null' },
    });
    await lab.fails(
      { local: [glutton] },
      /^package 'glutton': its postinst took more than 300 MiB of memory and was stopped$/,
      {
        limits: { memory: 300 * MIB },
      },
    );
  });

  test('one that fills the disk', async () => {
    const space = statfsSync(lab.work);
    const filler = lab.deb({
      name: 'filler',
      scripts: { postinst: 'dd if=/dev/zero of=/var/lib/filler bs=1M 2>/dev/null' },
    });
    const error = await lab.fails(
      { local: [filler] },
      /^package 'filler': its postinst filled the disk and was stopped$/,
      {
        limits: { reserve: space.bavail * space.bsize - 400 * MIB, fileSize: 2 ** 40 },
      },
    );
    assert.equal(error.code, 'no-space');
  });

  test('one that talks without end', async () => {
    const talker = lab.deb({ name: 'talker', scripts: { postinst: 'yes "all work and no play"' } });
    await lab.fails({ local: [talker] }, /^package 'talker': its postinst did not end within/, {
      limits: { scriptSeconds: 2 },
    });
  });

  test('/usr cannot be moved away; a link of the tree that is replaced is noticed', async () => {
    const mover = lab.deb({
      name: 'mover',
      scripts: { postinst: 'mv /usr /usr.old && ln -s /tmp /usr && exit 0\necho "no luck"; exit 1' },
    });
    await lab.fails({ local: [mover] }, /^package 'mover': its postinst failed with status 1: no luck$/);
    const linker = lab.deb({ name: 'linker', scripts: { postinst: 'ln -s /tmp/evil /new && mv -T /new /bin' } });
    await lab.fails(
      { local: [linker] },
      /^package 'linker': its postinst: it replaced \/bin, which belongs to the tree$/,
    );
    const deeper = lab.deb({ name: 'deeper', scripts: { postinst: 'rm -rf /usr/share && ln -s /tmp /usr/share' } });
    await lab.fails({ local: [deeper] }, /'deeper': its postinst: it replaced \/usr\/share, which belongs to the tree/);
  });

  test('links left for us to follow out of the tree', async () => {
    const passwd = lab.deb({ name: 'links', scripts: { postinst: 'ln -sf /etc/shadow /etc/passwd' } });
    await lab.fails({ local: [passwd] }, /put a link at \/(?:usr\/)?etc\/passwd/);
    const target = join(lab.work, 'outside');
    const factory = lab.deb({
      name: 'factory',
      links: { 'usr/share/factory/var/lib/trap': target },
      scripts: { postinst: 'echo stolen > /var/lib/trap' },
    });
    await lab.fails({ local: [factory] }, /put a link at \/usr\/share\/factory\/var\/lib\/trap/);
    assert.ok(!existsSync(target));
    const declared = lab.deb({ name: 'declared', links: { 'usr/lib/tmpfiles.d/declared.conf': '/proc/kmsg' } });
    await lab.fails(
      { local: [declared] },
      /put a link that leads elsewhere at \/usr\/lib\/tmpfiles\.d\/declared\.conf/,
    );
  });

  test('links above what this process removes and writes: it follows none', async () => {
    const outside = join(lab.work, 'outside-var');
    mkdirSync(join(outside, 'apt'), { recursive: true });
    writeFileSync(join(outside, 'apt/sources.list'), 'ours');
    // dpkg finds its database by the same link, and goes on.
    const postinst = [
      'set -e',
      `mkdir -p ${outside}; ln -s /usr/lib/sysimage/dpkg ${outside}/dpkg`,
      `mv /var/lib /var/other; ln -s ${outside} /var/lib`,
    ].join('\n');
    const state = lab.deb({ name: 'state', scripts: { postinst } });
    await lab.fails({ local: [state] }, /put a link at \/var\/lib/);
    assert.deepEqual(readdirSync(join(outside, 'apt')), ['sources.list']);

    const lock = join(outside, 'Lock');
    writeFileSync(lock, 'ours');
    const triggers = lab.deb({
      name: 'triggers',
      scripts: {
        postinst: `cd /usr/lib/sysimage/dpkg && mkdir -p ${outside} && mv triggers t && cp -r t/. ${outside} && ln -s ${outside} triggers`,
      },
    });
    await lab.fails({ local: [triggers] }, /put a link at \/usr\/lib\/sysimage\/dpkg\/triggers/);
    assert.ok(existsSync(lock));

    const folder = join(lab.sysroot.path, 'ostree/deploy/test/deploy', `${lab.base}.0`, 'usr/lib/modules');
    const modules = `usr/lib/modules/${readdirSync(folder)[0]}`;
    const image = lab.deb({
      name: 'image',
      files: { [`${modules}/updates/odd.ko`]: 'ELF' },
      links: { [`${modules}/initramfs.img`]: join(outside, 'image') },
    });
    await lab.fails({ local: [image] }, /put a link at \/usr\/lib\/modules\/\S+\/initramfs\.img/);
    lab.assertNothingLeft();
  });

  test('what no tree can hold', async () => {
    const pipe = lab.deb({ name: 'pipe', scripts: { postinst: 'mkfifo /usr/lib/sysusers.d/pipe.conf' } });
    await lab.fails({ local: [pipe] }, /made \/usr\/lib\/sysusers\.d\/pipe\.conf, which is no file, folder or link/);
    const deep = lab.deb({
      name: 'deep',
      // Paths longer than the kernel takes at once.
      scripts: { postinst: `perl -e 'chdir "/usr/share"; for (1..60) { mkdir "d" x 100; chdir "d" x 100 }'` },
    });
    await lab.fails({ local: [deep] }, /^what the packages wrote cannot be settled: ENAMETOOLONG/);
  });

  test('a file that says which package it is not', async () => {
    const layers = await (await import('@atomic/compose')).layerAssembler();
    const path = join(lab.work, 'nonsense.deb');
    writeFileSync(path, createHash('sha512').update('x').digest());
    await assert.rejects(layers.identify(lab.sysroot, lab.base, path), /is no Debian package/);
  });
});
