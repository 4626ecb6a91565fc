import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join, normalize } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { layerAssembler } from '@atomic/compose';
import { AtomicError, type Checksum, readFileAt } from '@atomic/ostree';
import { isLayered } from '@atomic/sysroot';
import { LayeringLab, missing } from './layering-lab.ts';

/** Packages from a repository of our own, on a real tree, by that tree's own apt. */
describe('layering with apt', { skip: missing() }, () => {
  let lab: LayeringLab;
  let server: Server;
  let url = '';
  const asked: string[] = [];
  let slow = 0;
  const read = (commit: Checksum | null, path: string): string => {
    assert.ok(commit !== null);
    return readFileAt(lab.sysroot.repo, commit, path).toString();
  };
  const stock = (...args: string[]): string =>
    execFileSync('ostree', [`--repo=${lab.sysroot.repo.path}`, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  /** Publishes the packages built so far. */
  const publish = (): void => {
    writeFileSync(
      join(lab.work, 'debs/Packages'),
      execFileSync('dpkg-scanpackages', ['--multiversion', '.'], {
        cwd: join(lab.work, 'debs'),
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
  };

  before(async () => {
    lab = await LayeringLab.open();
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      const path = join(lab.work, 'debs', normalize(decodeURIComponent(request.url ?? '/')));
      setTimeout(() => {
        if (existsSync(path) && !path.endsWith('/')) response.end(readFileSync(path));
        else response.writeHead(404).end();
      }, slow);
    });
    server.unref();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    writeFileSync(join(lab.etc, 'apt/sources.list.d/ours.list'), `deb [trusted=yes] ${url} ./\n`);
    mkdirSync(join(lab.etc, 'apt/preferences.d'));
    // What the machine's owner made since: an account, whose number is taken.
    const passwd = read(lab.base, '/usr/etc/passwd');
    writeFileSync(join(lab.etc, 'passwd'), `${passwd}operator:x:999:999::/home/operator:/bin/sh\n`);
    writeFileSync(join(lab.etc, 'group'), `${read(lab.base, '/usr/etc/group')}operator:x:999:\n`);

    lab.deb({ name: 'greet-data', files: { 'usr/share/greet/words': 'hello\n' } });
    lab.deb({
      name: 'greet',
      depends: 'greet-data',
      conffiles: ['/etc/greet.conf'],
      files: {
        'usr/bin/greet': '#!/bin/sh\ncat /usr/share/greet/words\n',
        'etc/greet.conf': 'polite=yes\n',
        'opt/greet/tool': 'a tool\n',
        'var/lib/greet/state': 'fresh\n',
        'usr/lib/systemd/system/greet.service':
          '[Service]\nExecStart=/usr/bin/greet\n[Install]\nWantedBy=multi-user.target\n',
      },
      scripts: {
        preinst: 'dpkg-divert --package greet --rename --divert /usr/bin/free.plain --add /usr/bin/free',
        postinst: [
          'set -e',
          'adduser --quiet --system --group --home /var/lib/greet greeter',
          'install -d -o greeter -g greeter -m 0750 /var/lib/greet/spool',
          'update-alternatives --install /usr/bin/salute salute /usr/bin/greet 10',
          'deb-systemd-helper enable greet.service',
          'invoke-rc.d greet start || echo "status $?"',
          'systemctl daemon-reload; systemctl try-restart greet.service || true',
          'mkdir -p /usr/local/share/greet; echo local > /usr/local/share/greet/file',
          'ldconfig',
        ].join('\n'),
      },
    });
    publish();
  });
  after(() => {
    server.close();
    lab[Symbol.dispose]();
  });

  let layered: Checksum;
  test('install: files, /etc, /var, /opt, /usr/local, accounts, units, alternatives, diversions, database', async () => {
    const result = await lab.assemble({ install: ['greet'] });
    assert.ok(result.commit !== null);
    layered = result.commit;
    assert.deepEqual(
      result.changes.map(({ name, from, to }) => [name, from, to]),
      [
        ['greet', null, '1'],
        ['greet-data', null, '1'],
      ],
    );
    const { parent, metadata } = lab.sysroot.repo.loadCommit(layered);
    assert.equal(parent, lab.base);
    assert.ok(isLayered(metadata));
    assert.equal(read(layered, '/usr/etc/greet.conf'), 'polite=yes\n');
    assert.match(stock('ls', layered, '/usr/etc/systemd/system/multi-user.target.wants'), /greet\.service -> /);
    assert.match(stock('ls', layered, '/usr/bin/salute'), /salute -> \/etc\/alternatives\/salute/);
    assert.match(stock('ls', layered, '/usr/etc/alternatives/salute'), /salute -> \/usr\/bin\/greet/);
    assert.match(
      read(layered, '/usr/lib/sysimage/dpkg/diversions'),
      /\/usr\/bin\/free\n\/usr\/bin\/free\.plain\ngreet/,
    );
    const tmpfiles = read(layered, '/usr/lib/tmpfiles.d/zz-atomic-layer.conf');
    assert.match(tmpfiles, /^C \/var\/lib\/greet\/state 0644 root root - -$/m);
    assert.match(tmpfiles, /^d \/var\/lib\/greet\/spool 0750 greeter greeter - -$/m);
    assert.match(tmpfiles, /^L \/var\/opt\/greet - - - - \.\.\/\.\.\/usr\/lib\/opt\/greet$/m);
    assert.match(
      tmpfiles,
      /^L \/var\/usrlocal\/share\/greet\/file - - - - \S*usr\/lib\/usrlocal\/share\/greet\/file$/m,
    );
    assert.equal(read(layered, '/usr/lib/opt/greet/tool'), 'a tool\n');
    assert.equal(read(layered, '/usr/lib/usrlocal/share/greet/file'), 'local\n');
    assert.equal(read(layered, '/usr/share/factory/var/lib/greet/state'), 'fresh\n');
    const passwd = read(layered, '/usr/etc/passwd');
    assert.ok(!passwd.includes('operator'), "the machine's account is not the tree's");
    const uid = /^greeter:x:(\d+):/m.exec(passwd)?.[1];
    assert.ok(uid !== undefined && uid !== '999');
    assert.match(read(layered, '/usr/lib/sysusers.d/00-atomic-tree.conf'), new RegExp(`^u greeter ${uid}`, 'm'));
    assert.match(read(layered, '/usr/lib/sysimage/dpkg/status'), /^Package: greet\nStatus: install ok installed$/m);
    assert.match(
      read(layered, '/usr/lib/sysimage/apt/extended_states'),
      /Package: greet-data\n(?:.*\n)*?Auto-Installed: 1/,
    );
    assert.equal(stock('ls', layered, '/var').trim().split('\n').length, 1, '/var is empty');
    assert.equal(stock('ls', layered, '/boot').trim().split('\n').length, 1, '/boot is empty');
    assert.doesNotMatch(stock('ls', layered, '/usr/lib/sysimage/dpkg', '/usr/sbin'), /-old$|\/lock|policy-rc\.d/m);
    assert.ok(!/ \/etc$/m.test(stock('ls', layered)));
    stock('fsck', '--quiet');
    lab.assertNothingLeft();
  });

  test('only what the packages wrote differs', () => {
    const strange = stock('diff', lab.base, layered)
      .split('\n')
      .filter((line) => /vmlinuz|initramfs|modules|\/usr\/s?bin\/(?!greet|salute|free)/.test(line));
    assert.deepEqual(strange, []);
  });

  test('the same again is the same commit, at no cost; without the network, too', async () => {
    const again = await lab.assemble({ install: ['greet'] }, { previous: layered, cacheOnly: true });
    assert.deepEqual([again.changed, again.commit], [false, layered]);
    const before = asked.length;
    const cached = await lab.assemble({ install: ['greet'] }, { cacheOnly: true });
    assert.ok(cached.changed);
    assert.equal(asked.length, before, 'nobody was asked');
  });

  test('an account keeps its number when it is made again', async () => {
    const kept = `${readFileSync(join(lab.etc, 'passwd'), 'utf8')}greeter:x:432:432::/var/lib/greet:/usr/sbin/nologin\n`;
    const group = `${readFileSync(join(lab.etc, 'group'), 'utf8')}greeter:x:432:\n`;
    const [passwdBefore, groupBefore] = [readFileSync(join(lab.etc, 'passwd')), readFileSync(join(lab.etc, 'group'))];
    writeFileSync(join(lab.etc, 'passwd'), kept);
    writeFileSync(join(lab.etc, 'group'), group);
    const { commit } = await lab.assemble({ install: ['greet'] });
    assert.match(read(commit, '/usr/etc/passwd'), /^greeter:x:432:432:/m);
    assert.match(read(commit, '/usr/etc/shadow'), /^greeter:!\*:/m);
    writeFileSync(join(lab.etc, 'passwd'), passwdBefore);
    writeFileSync(join(lab.etc, 'group'), groupBefore);
  });

  test('nothing is made by dry-run and download-only; what the base has is inactive', async () => {
    const dry = await lab.assemble({ install: ['greet', 'bash'] }, { dryRun: true });
    assert.equal(dry.commit, null);
    assert.deepEqual(
      dry.changes.map(({ name }) => name),
      ['greet', 'greet-data'],
    );
    assert.deepEqual(
      dry.inactive.map(({ request }) => request),
      ['bash'],
    );
    assert.equal((await lab.assemble({ install: ['greet'] }, { downloadOnly: true })).commit, null);
    assert.equal((await lab.assemble({ install: ['bash'] })).commit, lab.base);
  });

  test('a base that has a folder for /opt already', async () => {
    const more = join(lab.work, 'more');
    mkdirSync(join(more, 'usr/lib/opt'), { recursive: true });
    const base = stock('commit', '--orphan', `--tree=ref=${lab.base}`, `--tree=dir=${more}`).trim();
    const { commit } = await lab.assemble({ install: ['greet'] }, { base });
    assert.equal(read(commit, '/usr/lib/opt/greet/tool'), 'a tool\n');
  });

  test('overrides: a package of the base taken out, and one replaced', async () => {
    const ping = lab.deb({
      name: 'iputils-ping',
      version: '3:99',
      files: { 'usr/bin/ping': '#!/bin/sh\necho pong\n' },
    });
    const { commit, changes } = await lab.assemble({ remove: ['iproute2'], replace: [ping] });
    assert.deepEqual(
      changes.map(({ name, to }) => [name, to]),
      [
        ['iproute2', null],
        ['iputils-ping', '3:99'],
      ],
    );
    assert.equal(read(commit, '/usr/bin/ping'), '#!/bin/sh\necho pong\n');
    assert.throws(() => read(commit, '/usr/bin/ip'), /not-found|no such|not/i);
    const none = lab.deb({ name: 'none' });
    const gone = await lab.assemble({ remove: ['nothing-here'], replace: [none] });
    assert.deepEqual(
      [gone.commit, gone.inactive],
      [
        lab.base,
        [
          { request: 'none_1_all', by: null },
          { request: 'nothing-here', by: null },
        ],
      ],
      'what a base has no more keeps it not away',
    );
    await lab.fails({ local: [ping] }, /the base has iputils-ping already, in another version/);
  });

  test('what does not fit is said in one line', async () => {
    await lab.fails({ install: ['no-such-thing'] }, /^package 'no-such-thing' is in none of the repositories$/);
    await lab.fails({ install: ['greet-'] }, /is no name of a package/);
    await lab.fails({ install: ['-oDebug::x=1'] }, /is no name of a package/);
    const orphan = lab.deb({ name: 'orphan', depends: 'never-made (>= 2)' });
    await lab.fails({ local: [orphan] }, /do not fit together: orphan : Depends: never-made \(>= 2\)/);
    const clash = lab.deb({ name: 'clash', files: { 'usr/share/greet/words': 'mine\n' }, depends: 'greet-data' });
    publish();
    // The lists are minutes old and lack it: they are fetched again before it is given up.
    await lab.fails(
      { install: ['clash'] },
      /package 'clash' has \/usr\/share\/greet\/words, which is in package 'greet-data', too/,
    );
    const words = await lab.assemble({ localFileOverride: [clash] });
    assert.equal(read(words.commit, '/usr/share/greet/words'), 'mine\n');
  });

  test('a repository that does not fit the base: what it would change is said, nothing is', async () => {
    lab.deb({ name: 'modern', depends: 'iproute2 (>= 99)' });
    lab.deb({ name: 'iproute2', version: '99' });
    lab.deb({ name: 'rival', fields: { Conflicts: 'iputils-ping' } });
    publish();
    const layers = await layerAssembler();
    await layers.refresh(lab.sysroot, lab.base, { mergeEtc: lab.etc, force: true });
    const error = await lab.fails(
      { install: ['modern'] },
      /'modern' needs other versions of packages in the base: iproute2 \(\S+ to 99\)/,
    );
    assert.match(error.hint ?? '', /atomic host upgrade/);
    await lab.fails({ install: ['rival'] }, /'rival' would take iputils-ping out of the base/);
  });

  test('a repository that is away', async () => {
    const list = join(lab.etc, 'apt/sources.list.d/gone.list');
    writeFileSync(list, 'deb [trusted=yes] http://127.0.0.1:9 ./\n');
    const error = await lab.fails({ install: ['greet'] }, /cannot fetch http:\/\/127\.0\.0\.1:9/);
    assert.equal(error.code, 'network');
    assert.ok((await lab.assemble({ install: ['greet'] }, { cacheOnly: true })).commit, 'the lists there were count');
    execFileSync('rm', [list]);
  });

  test('a slow repository is no script that hangs', async () => {
    lab.deb({ name: 'late' });
    publish();
    slow = 250;
    const options = { downloadOnly: true, limits: { scriptSeconds: 1 } };
    assert.equal((await lab.assemble({ install: ['late'] }, options)).changes.length, 1);
    const layers = await layerAssembler({ limits: { seconds: 1 } });
    const refreshed = layers.refresh(lab.sysroot, lab.base, { mergeEtc: lab.etc, force: true });
    await assert.rejects(refreshed, /^AtomicError: a program of the tree did not end within 1 s and was stopped$/);
    slow = 0;
  });

  test('search, and what the repositories are', async () => {
    const layers = await layerAssembler();
    const repositories = await layers.refresh(lab.sysroot, lab.base, { mergeEtc: lab.etc, force: true });
    assert.equal(repositories.length, 1);
    assert.ok((repositories[0]?.packages ?? 0) >= 5);
    const found = await layers.search(lab.sysroot, lab.base, ['greet'], { mergeEtc: lab.etc });
    assert.deepEqual(found.map(({ name }) => name).sort(), ['greet', 'greet-data']);
  });

  test('a module, and no dracut to be had: the initramfs stays as it is, and that is said', async () => {
    const [line = ''] = stock('ls', lab.base, '/usr/lib/modules').split('\n').slice(1);
    const release = line.slice(line.lastIndexOf('/') + 1);
    const module = lab.deb({ name: 'odd-module', files: { [`usr/lib/modules/${release}/updates/odd.ko`]: 'ELF' } });
    const { commit, notes } = await lab.assemble({ local: [module] });
    assert.match(notes?.join() ?? '', /^the initramfs stays the base's, without new modules: package '\S+' is in none/);
    const image = `/usr/lib/modules/${release}/initramfs.img`;
    assert.ok(commit !== null);
    assert.equal(stock('ls', '-C', commit, image), stock('ls', '-C', lab.base, image));
    lab.assertNothingLeft();
  });

  test('a package with a module for the kernel: lists of modules and the initramfs are made anew', {
    timeout: 300_000,
    skip: process.env['LAYERS_MACHINE'] === undefined ? 'dracut takes a minute: make layers-test' : false,
  }, async () => {
    const [line = ''] = stock('ls', lab.base, '/usr/lib/modules').split('\n').slice(1);
    const release = line.slice(line.lastIndexOf('/') + 1);
    const folder = join(lab.sysroot.path, 'ostree/deploy/test/deploy', `${lab.base}.0`, 'usr/lib/modules', release);
    const source = join(folder, 'kernel/lib/crc16.ko');
    const other = existsSync(source)
      ? source
      : execFileSync('find', [folder, '-name', '*.ko', '-print', '-quit'], { encoding: 'utf8' }).trim();
    const module = lab.deb({ name: 'extra-module', files: { [`usr/lib/modules/${release}/extra/placeholder`]: '' } });
    // Of a real module, under another name: its bytes cannot go through text.
    const root = join(lab.work, 'module');
    execFileSync('dpkg-deb', ['-R', module.path, root]);
    execFileSync('cp', [other, join(root, 'usr/lib/modules', release, 'extra/extra_test.ko')]);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', root, module.path], { stdio: 'ignore' });
    writeFileSync(join(lab.etc, 'apt/sources.list.d/tree.list'), read(lab.base, '/usr/etc/apt/sources.list'));
    // As a tree whose treefile has `initramfs-args`.
    const args = "--add-metadata=rpmostree.initramfs-args=['--install', '/usr/bin/tput']";
    const base = stock('commit', '--orphan', `--tree=ref=${lab.base}`, args).trim();
    const { commit } = await lab.assemble({ local: [module] }, { base });
    execFileSync('rm', [join(lab.etc, 'apt/sources.list.d/tree.list')]);
    assert.match(read(commit, `/usr/lib/modules/${release}/modules.dep`), /^extra\/extra_test\.ko:/m);
    const image = `/usr/lib/modules/${release}/initramfs.img`;
    assert.ok(commit !== null);
    assert.notEqual(stock('ls', '-C', commit, image), stock('ls', '-C', lab.base, image));
    assert.match(stock('ls', commit, image), /^-00600 0 0 /);
    const bytes = readFileAt(lab.sysroot.repo, commit, image);
    assert.equal(bytes.readUInt32LE(0), 0xfd2fb528, 'packed by zstd');
    assert.ok(bytes.length > 4_000_000);
    assert.ok(zstdDecompressSync(bytes).includes('usr/bin/tput'), 'made with the arguments of the tree');
    lab.assertNothingLeft();
  });

  test('interrupted, or killed: nothing is visible, and the next run cleans up', async () => {
    const slow = lab.deb({ name: 'slow', scripts: { postinst: 'sleep 30' } });
    const controller = new AbortController();
    const progress = ({ phase }: { phase: string }): void => {
      if (phase === 'install') setTimeout(() => controller.abort(), 300);
    };
    const error = await lab.fails({ local: [slow] }, /interrupted/, { signal: controller.signal, progress });
    assert.equal(error.code, 'aborted');

    const refs = stock('refs');
    for (const phase of ['resolve', 'install', 'settle', 'commit', 'Committing']) {
      const requests = {
        install: phase === 'install' ? [] : ['greet'],
        local: phase === 'install' ? [slow] : [],
        localFileOverride: [],
        remove: [],
        replace: [],
        replaceFrom: [],
      };
      const program = `import { Sysroot } from '@atomic/sysroot'; import { layerAssembler } from '@atomic/compose';
        const sysroot = Sysroot.open(${JSON.stringify(lab.sysroot.path)}, { run: ${JSON.stringify(join(lab.work, 'run'))} });
        using _lock = await sysroot.lock();
        const progress = ({ phase }) => phase === '${phase}' && process.kill(process.pid, 'SIGKILL');
        const options = { mergeEtc: ${JSON.stringify(lab.etc)}, progress };
        await (await layerAssembler()).assemble(sysroot, '${lab.base}', ${JSON.stringify(requests)}, options);`;
      const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program];
      const child = spawn(process.execPath, flags, {
        cwd: import.meta.dirname,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const [, signal] = await once(child, 'exit');
      assert.equal(signal, 'SIGKILL', phase);
      const folder = join(lab.sysroot.path, 'ostree/extensions/atomic');
      assert.ok(existsSync(join(folder, 'work')), 'the killed run left its folder');
      assert.equal(stock('refs'), refs, phase);
      stock('fsck', '--quiet');
      assert.ok((await lab.assemble({ install: ['greet'] })).commit !== null, phase);
      lab.assertNothingLeft();
    }
    assert.ok(error instanceof AtomicError);
  });
});
