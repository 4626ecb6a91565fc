// Packages layered on a running machine by its own apt, from a repository on the host: installed, used after a reboot,
// kept through an upgrade of the base, live, in place of packages of the base, as kernel modules; and what happens when
// one of them does not fit the next base.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ComposeResult, composeTree, loadTreefile } from '@atomic/compose';
import { Repo, readFileAt } from '@atomic/ostree';
import { type Host, Lab, skip } from './lab.ts';
import { cachedir, stateFolder } from './setup.ts';

const whyNot = skip || (process.env['LAYERS_MACHINE'] === undefined ? 'takes minutes: make layers-test' : false);
const DPKG_STATUS = 'usr/lib/sysimage/dpkg/status';

interface Deb {
  name: string;
  version: string;
  arch?: string;
  depends?: string;
  files: Record<string, string | Buffer>;
  scripts?: Record<string, string>;
}

describe('packages layered on a running machine', { skip: whyNot, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let lab: Lab;
  let host: Host;
  let v1: ComposeResult;
  let debs: string;

  /** Builds a package into the folder that is the repository, and lists it there. */
  function publish({ name, version, arch = 'all', depends, files, scripts = {} }: Deb): string {
    const root = join(lab.folder, `deb-${name}`);
    const put = (path: string, content: string | Buffer, mode: number) => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
      chmodSync(join(root, path), mode);
    };
    const control = [
      ...[`Package: ${name}`, `Version: ${version}`, `Architecture: ${arch}`, 'Maintainer: Test <test@example.com>'],
      ...(depends === undefined ? [] : [`Depends: ${depends}`]),
      `Description: ${name} for a test`,
    ].join('\n');
    put('DEBIAN/control', `${control}\n`, 0o644);
    for (const [path, content] of Object.entries(files)) put(path, content, /bin\//.test(path) ? 0o755 : 0o644);
    for (const [script, text] of Object.entries(scripts)) put(`DEBIAN/${script}`, `#!/bin/sh\n${text}\n`, 0o755);
    const file = `${name}_${version.replaceAll(':', '%3a')}_${arch}.deb`;
    execFileSync('dpkg-deb', ['--root-owner-group', '--build', root, join(debs, file)], { stdio: 'ignore' });
    rmSync(root, { recursive: true });
    const listed = readdirSync(debs).filter((one) => one.endsWith('.deb'));
    const index = listed.map((one) => {
      const content = readFileSync(join(debs, one));
      const fields = execFileSync('dpkg-deb', ['-f', join(debs, one)], { encoding: 'utf8' }).trimEnd();
      const sha256 = createHash('sha256').update(content).digest('hex');
      return `${fields}\nFilename: ./${one}\nSize: ${content.length}\nSHA256: ${sha256}\n`;
    });
    writeFileSync(join(debs, 'Packages'), index.join('\n'));
    return file;
  }

  before(async () => {
    const path = join(stateFolder('layers-tree'), 'repo');
    await mkdir(dirname(path), { recursive: true });
    const composed = existsSync(path) ? Repo.open(path) : Repo.create(path, { mode: 'archive' });
    const treefile = loadTreefile(join(import.meta.dirname, 'trees/layers.yaml'));
    v1 = await composeTree({ treefile, repo: composed, cachedir, parent: null });
    const { ref, commit, changed, packages, kernel, seconds } = v1;
    lab = await Lab.of('layers', {
      repo: path,
      v1: { ref, commit, version: '1', changed, packages, kernel, seconds },
      images: 'layers-images',
    });
    debs = join(lab.folder, 'repo/debs');
    mkdirSync(debs);
    // All at once: lists of packages are fetched once an hour.
    const modules = `usr/lib/modules/${v1.kernel}`;
    const module = readFileAt(lab.repo, v1.commit, `/${modules}/kernel/drivers/net/dummy.ko`);
    publish({
      name: 'greeter-data',
      version: '1.0-1',
      files: { 'usr/share/greeter/words': 'hello from a layer\n' },
    });
    publish({
      name: 'greeter',
      version: '1.0-1',
      depends: 'greeter-data, adduser',
      files: { 'usr/bin/greeter': '#!/bin/sh\ncat /usr/share/greeter/words\n', 'etc/greeter.conf': 'default\n' },
      scripts: {
        postinst: 'adduser --system --group --no-create-home greeter\ninstall -d -o greeter /var/lib/greeter',
      },
    });
    publish({ name: 'livetool', version: '1', files: { 'usr/bin/livetool': '#!/bin/sh\necho alive\n' } });
    publish({ name: 'extra-module', version: '1', files: { [`${modules}/updates/atomic-extra.ko`]: module } });
    publish({ name: 'bomb', version: '1', files: {}, scripts: { postinst: 'b() { b | b & }; b; sleep 600' } });
    publish({
      name: 'third-party',
      version: '5',
      depends: 'hostname (<< 50)',
      files: { 'usr/bin/third': '#!/bin/sh\necho 3\n' },
    });
    host = await lab.host();
    const url = `http://10.0.2.2:${lab.server.port}/debs`;
    await host.check(`rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; sync`);
    await host.check(`echo 'deb [trusted=yes] ${url} ./' > /etc/apt/sources.list.d/test.list`);
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });
  /** A test whose console can be seen when it fails. */
  const scenario = (name: string, work: () => Promise<void>) =>
    test(name, async () => {
      const start = performance.now();
      try {
        await work();
      } catch (error) {
        console.log(host.log.slice(-6000));
        throw error;
      }
      console.log(`${((performance.now() - start) / 1000).toFixed(0)} s: ${name}`);
    });
  const timed = async (command: string): Promise<string> => {
    const start = performance.now();
    const output = await host.check(command);
    console.log(`${((performance.now() - start) / 1000).toFixed(1)} s: ${command}`);
    return output;
  };
  /** The base of what runs, where nothing else boots next. */
  const bootedBase = async (): Promise<string> => {
    const text = await host.check("atomic host status --jsonpath '$.deployments[0]'");
    const base = /"base-checksum":\s*"([0-9a-f]{64})"/.exec(text) ?? /"checksum":\s*"([0-9a-f]{64})"/.exec(text);
    return base?.[1] ?? '';
  };

  scenario('installed: there after the next boot, with its account and settings', async () => {
    const said = await timed('atomic host install greeter');
    assert.match(said, /^Staged: 1 /m);
    assert.match(said, /^Added:\n {2}greeter-1\.0-1\.all\n {2}greeter-data-1\.0-1\.all$/m);
    assert.equal((await host.run('command -v greeter')).code !== 0, true, 'what runs is as it was');
    await host.reboot();
    assert.equal(await host.check('greeter; cat /etc/greeter.conf'), 'hello from a layer\ndefault');
    assert.match(
      await host.check('stat -c %U /var/lib/greeter; dpkg -s greeter'),
      /^greeter\n[\s\S]*install ok installed/,
    );
    assert.equal(await bootedBase(), v1.commit);
    assert.match(await host.check('atomic host status'), /LayeredPackages: greeter\n/);
    assert.equal((await host.run('test -w /usr')).code, 1, '/usr is read-only');
    assert.match(await host.check('ostree admin status'), /\* debian [0-9a-f]{64}\.0/);
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
  });

  scenario('the base is upgraded beneath it, by itself', async () => {
    const v2 = await lab.commit({ version: '2' });
    await host.check('echo mine > /etc/greeter.conf');
    await host.judged();
    await host.check('atomic host updates set policy=stage');
    await timed('systemctl start atomic-update.service');
    await host.reboot();
    assert.deepEqual([await bootedBase(), await host.check('cat /usr/share/demo/version')], [v2, '2']);
    assert.equal(await host.check('greeter; cat /etc/greeter.conf'), 'hello from a layer\nmine');
    await host.judged();
  });

  scenario('applied to the running system at once, and kept', async () => {
    await timed('atomic host install --apply-live --assumeyes livetool');
    assert.equal(await host.check('livetool'), 'alive');
  });

  scenario('a package of the base replaced and one removed by files, a kernel module added', async () => {
    const file = publish({
      name: 'iputils-ping',
      version: '9:99-1',
      arch: 'amd64',
      files: { 'usr/bin/ping': '#!/bin/sh\necho ours\n' },
    });
    const port = String(lab.server.port);
    await host.check(
      `/usr/lib/atomic/node -e 'fetch("http://10.0.2.2:${port}/debs/${encodeURIComponent(file)}").then(async (r) => ` +
        `require("fs").writeFileSync("/root/${file}", Buffer.from(await r.arrayBuffer())))'`,
    );
    await timed(`atomic host override replace /root/${file}`);
    await host.check(`rm /root/${file}`);
    // Those that another scenario layered, where this one runs alone.
    await timed('atomic host install --idempotent greeter livetool extra-module');
    await host.reboot();
    assert.equal(await host.check('ping; livetool; greeter'), 'ours\nalive\nhello from a layer');
    assert.match(await host.check('atomic host status'), /LocalOverrides: iputils-ping 3:20221126-1\S* -> 9:99-1\n/);
    assert.match(await host.check('modprobe atomic-extra && lsmod'), /^(dummy|atomic_extra)\s/m);
    await host.judged();
  });

  scenario('what does not go with the next base: said, and the machine stays as it is', async () => {
    await timed('atomic host install --idempotent greeter third-party');
    await host.reboot();
    assert.equal(await host.check('third'), '3');
    const status = readFileAt(lab.repo, v1.commit, `/${DPKG_STATUS}`).toString();
    const newer = status.replace(/^(Package: hostname\n(?:[^\n]+\n)*?Version: )[^\n]+/m, '$199-1');
    assert.notEqual(newer, status);
    const v3 = await lab.commit({ version: '3', files: { [DPKG_STATUS]: newer } });
    const before = await host.deployments();
    const refused = await host.run('atomic host upgrade');
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, /does not go onto 3: .*third-party/);
    assert.match(refused.output, /the system is as it was.*atomic host upgrade --uninstall=third-party/);
    assert.deepEqual(await host.deployments(), before);
    assert.match(
      await host.check('atomic host status'),
      /^Layers: stuck since \d{4}-.* before 3, because .*third-party/m,
    );
    assert.match(await host.check('cat /run/motd.d/86-atomic-layers'), /Updates are stuck since/);
    assert.match(await host.check('atomic host updates'), /Layers: +stuck since/);
    await timed('atomic host upgrade --uninstall=third-party');
    await host.reboot();
    assert.equal(await bootedBase(), v3);
    assert.equal(await host.check('greeter'), 'hello from a layer');
    assert.notEqual((await host.run('command -v third')).code, 0);
    assert.doesNotMatch(await host.check('atomic host status'), /^Layers:/m);
    await host.judged();
  });

  scenario(
    'a package that starts processes without end is stopped by systemd, and named; nothing is different',
    async () => {
      const before = await host.deployments();
      // Which scope it is in, seen from beside it.
      await host.check(
        `systemd-run --quiet --unit=watcher sh -c 'while sleep 1; do systemctl list-units --plain --no-legend "atomic-layer-*.scope" ; ` +
          `systemctl show -p TasksMax -p MemoryMax "atomic-layer-*.scope"; done > /root/watched'`,
      );
      const refused = await host.run('atomic host install bomb');
      assert.notEqual(refused.code, 0);
      assert.match(refused.output, /package 'bomb': its postinst started more than 1024 processes and was stopped/);
      await host.check('systemctl stop watcher');
      assert.match(await host.check('cat /root/watched'), /^atomic-layer-\d+-\d+\.scope[\s\S]*^TasksMax=1024$/m);
      assert.deepEqual(await host.deployments(), before);
      assert.equal(await host.check('systemctl list-units --plain --no-legend "atomic-layer-*"'), '');
      assert.ok(Number(await host.check('ls -d /proc/[0-9]* | wc -l')) < 300, 'nothing of it is left');
      assert.equal(await host.check('ls /ostree/extensions/atomic | grep work || true'), '');
      await timed('atomic host install --idempotent livetool');
    },
  );

  scenario('all of it taken back: the tree of the branch, and nothing else', async () => {
    await host.check('atomic host install --idempotent greeter');
    await timed('atomic host reset');
    await host.reboot();
    const { booted } = await host.deployments();
    assert.equal(booted, await bootedBase());
    assert.notEqual((await host.run('command -v greeter')).code, 0);
    assert.match(await host.check('readlink -f /usr/bin/ping; dpkg -s iputils-ping'), /3:20221126-1/);
    await host.judged();
    await host.check('atomic host cleanup -r && ostree fsck --quiet');
    assert.equal(await host.check('ls /ostree/extensions/atomic/packages'), '');
    assert.equal(await host.check('ostree refs --list rpmostree'), '');
  });
});
