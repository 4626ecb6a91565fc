// Packages layered on an RPM tree by its own dnf and rpm.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { layerAssembler } from '@atomic/compose';
import { Repo, readFileAt } from '@atomic/ostree';
import { commitView, parseAdvisories, readCommitPackages } from '@atomic/pkgdb';
import type { AssembledLayer } from '@atomic/sysroot';
import { RpmLayeringLab } from '../rpm/layering-lab.ts';
import { rpmToolsMissing } from '../rpm/rpm-package.ts';
import { cachedir, stateFolder } from '../vm/setup.ts';

const whyNot =
  (process.getuid?.() !== 0 && 'needs root') ||
  rpmToolsMissing() ||
  (process.env['RPM_MACHINE'] === undefined ? 'takes minutes: make rpm-test' : false);

describe('packages on an RPM tree', { skip: whyNot, concurrency: 1, timeout: 20 * 60_000 }, () => {
  let lab: RpmLayeringLab;
  before(async () => {
    const path = join(stateFolder('rpm-trees'), 'repo');
    const composed = existsSync(path) ? Repo.open(path) : Repo.create(path, { mode: 'archive' });
    lab = await RpmLayeringLab.open(cachedir, composed);
  });
  after(async () => await lab?.[Symbol.asyncDispose]());
  const nevras = (commit: string): Set<string> =>
    new Set((readCommitPackages(lab.sysroot.repo, commit) ?? []).map((p) => `${p.name}-${p.version}-${p.release}`));

  const read = (commit: string | null, path: string): string =>
    readFileAt(lab.sysroot.repo, commit ?? '', path).toString('utf8');
  const changed = ({ changes }: AssembledLayer): string[] =>
    changes.map(({ name, from, to }) => `${name} ${from ?? '-'} ${to ?? '-'}`);

  test('a package of a repository, and what it needs; its scripts run, and the tree has the shape of a tree', async () => {
    const needed = { name: 'needed', files: { '/usr/share/needed': 'n\n' } };
    await lab.rpm(needed, { publish: true });
    const app = await lab.rpm(
      {
        name: 'App',
        requires: ['needed'],
        files: {
          '/usr/bin/app': '#!/bin/sh\necho app\n',
          '/etc/app.conf': { content: 'a=1\n', spec: '%config(noreplace)' },
          '/opt/app/data': 'opt\n',
          '/usr/lib/sysusers.d/app.conf': 'u app - "App" /var/lib/app\n',
        },
        directories: ['/var/lib/app'],
        scripts: {
          pre: 'systemd-sysusers --replace=/usr/lib/sysusers.d/app.conf - <<E\nu app - "App" /var/lib/app\nE',
          post: 'echo state > /var/lib/app/state; chown app /var/lib/app',
        },
      },
      { publish: true },
    );
    const layer = await lab.assemble({ install: ['App'] });
    assert.deepEqual(changed(layer), ['App - 1-1', 'needed - 1-1']);
    const { commit } = layer;
    assert.ok(commit !== null);
    assert.equal(read(commit, '/usr/bin/app'), '#!/bin/sh\necho app\n');
    assert.equal(read(commit, '/usr/etc/app.conf'), 'a=1\n');
    assert.match(read(commit, '/usr/share/factory/var/lib/app/state'), /state/);
    assert.equal(nevras(commit).size, nevras(lab.base).size + 2);
    assert.ok(nevras(commit).has('App-1-1'));
    const folder = commitView(lab.sysroot.repo, commit).look('usr/share/rpm');
    assert.deepEqual(folder?.kind === 'directory' ? folder.names() : [], ['rpmdb.sqlite']);
    // The same again is the same commit; nothing is assembled.
    const again = await lab.assemble({ install: ['App'] }, { previous: commit });
    assert.deepEqual([again.changed, again.commit], [false, commit]);
    assert.equal((await lab.assemble({ install: ['App'] }, { dryRun: true })).commit, null);
    assert.ok(app.sha256.length === 64);
  });

  test('what the base has is inactive; a program is found by its path, a group by its name', async () => {
    const { inactive, changes } = await lab.assemble({ install: ['less', '/usr/bin/tree'] }, { dryRun: true });
    assert.deepEqual(inactive, [{ request: 'less', by: 'less-590-2.1~deb12u2.x86_64' }]);
    assert.deepEqual(
      changes.map(({ name, source }) => [name, source]),
      [['tree', 'base']],
    );
  });

  test('local packages, and what replaces or leaves the base', async () => {
    const tool = await lab.rpm({ name: 'tool', files: { '/usr/bin/tool': '#!/bin/sh\n' } });
    assert.deepEqual(changed(await lab.assemble({ local: [tool] })), ['tool - 1-1']);
    const less = await lab.rpm({
      name: 'less',
      version: '999-1',
      provides: ['pager'],
      files: { '/usr/bin/less': 'mine\n' },
    });
    await lab.fails({ local: [less] }, /^the base has less already, as less-590-2\.1~deb12u2\.x86_64$/);
    const replaced = await lab.assemble({ replace: [less] });
    assert.deepEqual(
      replaced.changes.filter(({ to }) => to !== null).map(({ name, to }) => `${name} ${to}`),
      ['less 999-1'],
    );
    assert.equal(read(replaced.commit, '/usr/bin/less'), 'mine\n');
    const removed = await lab.assemble({ remove: ['less'] });
    assert.deepEqual(changed(removed), ['less 590-2.1~deb12u2 -']);
    assert.throws(() => read(removed.commit, '/usr/bin/less'));
    const both = await lab.assemble({ local: [tool], replace: [less] }, { dryRun: true });
    assert.deepEqual(changed(both).sort(), ['less - 999-1', 'less 590-2.1~deb12u2 -', 'tool - 1-1']);
    const gone = await lab.assemble({ remove: ['nosuch'], replace: [tool] });
    assert.deepEqual(gone.inactive, [
      { request: tool.name, by: null },
      { request: 'nosuch', by: null },
    ]);
    await lab.fails({ remove: ['iproute', 'kmod'] }, /would take .* out of the base/);
  });

  test('an account that a script makes keeps the number that it has on the machine; others are not taken along', async () => {
    const daemon = await lab.rpm({
      name: 'daemon',
      version: '4:1-1',
      scripts: { pre: 'getent passwd daemond >/dev/null || useradd --system --no-create-home daemond' },
    });
    const lines = (commit: string | null): string => read(commit, '/usr/lib/sysusers.d/00-atomic-tree.conf');
    assert.match(lines((await lab.assemble({ local: [daemon] })).commit), /^u daemond \d+/m);
    writeFileSync(join(lab.etc, 'passwd'), 'daemond:x:931:931::/:/bin/false\nalice:x:1000:1000::/home/alice:/bin/sh\n');
    writeFileSync(join(lab.etc, 'group'), 'daemond:x:931:\nalice:x:1000:\n');
    const { commit } = await lab.assemble({ local: [daemon] });
    assert.match(lines(commit), /^u daemond 931/m);
    assert.doesNotMatch(read(commit, '/usr/etc/passwd'), /alice/);
    rmSync(join(lab.etc, 'passwd'));
    rmSync(join(lab.etc, 'group'));
  });

  test('newer packages in the repositories leave the base alone; one that needs them is refused', async () => {
    lab.repositories(['base', 'updates', 'own']);
    assert.deepEqual(changed(await lab.assemble({ install: ['needed'] }, { dryRun: true })), ['needed - 1-1']);
    await lab.rpm({ name: 'wants-new', requires: ['less > 590-2.1~deb12u2'] }, { publish: true });
    const error = await lab.fails({ install: ['wants-new'] }, /do not fit together: .*wants-new.*requires less/);
    assert.match(error.hint ?? '', /atomic host upgrade/);
    const from = await lab.assemble({ replaceFrom: [{ source: 'repo=updates', packages: ['less'] }] });
    assert.deepEqual(changed(from), ['less 590-2.1~deb12u2 590-2.1~deb12u2.1']);
    const [advisory] = parseAdvisories(lab.sysroot.repo.loadCommit(from.commit ?? '').metadata);
    assert.deepEqual([advisory?.id, advisory?.severity], ['TEST-2026-0001', 'important']);
    lab.repositories(['base', 'own']);
  });

  test('scripts that fail, hang or write outside are named; nothing is changed', async () => {
    const failing = await lab.rpm({ name: 'failing', scripts: { post: 'echo no luck; exit 7' } });
    await lab.fails({ local: [failing] }, /the script %post of failing-1-1\.noarch failed with status 7: no luck/);
    const early = await lab.rpm({ name: 'early', scripts: { pre: 'exit 2' } });
    await lab.fails({ local: [early] }, /the script %pre of early-1-1\.noarch failed with status 2/);
    const hanging = await lab.rpm({ name: 'hanging', scripts: { post: 'sleep 1000' } });
    await lab.fails({ local: [hanging] }, /package 'hanging': its %post did not end within \d+ s and was stopped/, {
      limits: { scriptSeconds: 20 },
    });
    const link = await lab.rpm({ name: 'link', scripts: { post: 'rm -rf /usr/share/rpm; ln -s /etc /usr/share/rpm' } });
    await lab.fails({ local: [link] }, /link/);
    const outside = join(lab.work, 'outside');
    mkdirSync(join(outside, 'dnf'), { recursive: true });
    const post = `mv /var/cache /var/other; mkdir -p ${outside}; ln -s ${outside} /var/cache`;
    const away = await lab.rpm({ name: 'away', scripts: { post } });
    await lab.fails({ local: [away] }, /put a link at \/var\/cache/);
    assert.ok(existsSync(join(outside, 'dnf')));
    await lab.fails({ install: ['nosuch'] }, /^package 'nosuch' is in none of the repositories$/);
  });

  test('a kernel module: depmod knows it, and the initramfs is made anew by a dracut that the tree need not have', async () => {
    const view = commitView(lab.sysroot.repo, lab.base);
    const modules = view.look('usr/lib/modules');
    const release = modules?.kind === 'directory' ? modules.names()[0] : undefined;
    assert.ok(release !== undefined);
    const path = `/usr/lib/modules/${release}`;
    const content = readFileAt(lab.sysroot.repo, lab.base, `${path}/kernel/drivers/net/dummy.ko`);
    const module = await lab.rpm({ name: 'kmod-mine', files: { [`${path}/extra/mine.ko`]: content } });
    const { commit, changes } = await lab.assemble({ local: [module] });
    assert.deepEqual(
      changes.map(({ name }) => name),
      ['kmod-mine'],
    );
    assert.match(read(commit, `${path}/modules.dep`), /^extra\/mine\.ko:/m);
    const image = (of: string): Buffer => readFileAt(lab.sysroot.repo, of, `${path}/initramfs.img`);
    assert.ok(!image(commit ?? '').equals(image(lab.base)));
    // What made it, ostree's part of dracut among it, is not left in the tree.
    assert.equal(nevras(commit ?? '').size, nevras(lab.base).size + 1);
  });

  test('what is layered goes onto a newer base; what does not fit that is refused', async () => {
    const newer = await lab.compose({ version: '2', updates: true });
    const held = await lab.rpm({
      name: 'held',
      requires: ['less = 590-2.1~deb12u2'],
      files: { '/usr/share/held': 'h\n' },
    });
    assert.deepEqual(changed(await lab.assemble({ local: [held] }, { dryRun: true })), ['held - 1-1']);
    const { commit } = await lab.assemble({ install: ['needed'] }, { base: newer });
    assert.ok(nevras(commit ?? '').has('less-590-2.1~deb12u2.1'));
    assert.ok(nevras(commit ?? '').has('needed-1-1'));
    await lab.fails({ local: [held] }, /do not fit together: .*held/, { base: newer });
  });

  test('signatures are asked for where a repository says so', async () => {
    lab.repositories(['base', 'own'], 'gpgcheck=1\n');
    await lab.fails({ install: ['needed'] }, /repository 'own' has no key/);
    lab.repositories(['base', 'own']);
  });

  test('searching, and what repositories there are', async () => {
    using _lock = await lab.sysroot.lock();
    const layers = await layerAssembler();
    const options = { mergeEtc: lab.etc };
    const repositories = await layers.refresh(lab.sysroot, lab.base, { ...options, force: true });
    assert.deepEqual(
      repositories.map(({ id }) => id),
      ['base', 'own'],
    );
    assert.ok((repositories[0]?.packages ?? 0) > 100);
    const found = await layers.search(lab.sysroot, lab.base, ['iprout'], options);
    assert.deepEqual(
      found.map(({ name }) => name),
      ['iproute'],
    );
    const file = await lab.rpm({ name: 'Ident', version: '3:1.2~rc1-4' });
    assert.deepEqual(await layers.identify(lab.sysroot, lab.base, file.path), {
      name: 'Ident-3:1.2~rc1-4.noarch',
      package: 'Ident',
    });
    await assert.rejects(layers.identify(lab.sysroot, lab.base, import.meta.filename), /is no RPM package/);
  });
});
