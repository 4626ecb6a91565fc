// A distribution of a handful of packages, made in seconds: enough to run scripts in, not to boot.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildRpm, compsXml, createRepository, type RpmFile, updateinfoXml } from './rpm-package.ts';

/** This machine's shell and the libraries it needs. */
function shellFiles(): Record<string, RpmFile> {
  const files: Record<string, RpmFile> = {
    '/usr/bin/sh': { content: readFileSync('/bin/sh'), mode: '0755' },
    '/bin': { link: 'usr/bin' },
    '/sbin': { link: 'usr/sbin' },
    '/lib': { link: 'usr/lib' },
    '/lib64': { link: 'usr/lib64' },
  };
  for (const [path = ''] of execFileSync('ldd', ['/bin/sh'], { encoding: 'utf8' }).matchAll(/\/\S+/g)) {
    files[path.startsWith('/usr/') ? path : `/usr${path}`] = { content: readFileSync(path), mode: '0755' };
  }
  return files;
}

/** Packages that manifests for Fedora name, here with nothing in them. */
const FEDORA = (
  'kernel systemd ostree nss-altfiles grub2 grub2-efi-x64 efibootmgr shim NetworkManager nano nano-default-editor ' +
  'strace composefs perl'
).split(' ');

/** Makes base/ and updates/ in `folder`, and a *.repo file for both beside them; base is found by `repovars: {place: base}`. */
export async function buildTiny(folder: string): Promise<void> {
  const base = join(folder, 'base');
  const updates = join(folder, 'updates');
  const accounts = 'root:x:0:0:root:/root:/bin/sh\n';
  await buildRpm(
    {
      name: 'tiny-base',
      version: '1-1',
      arch: 'x86_64',
      provides: ['/bin/sh', 'system-release = 1', 'libstdc++', 'ca-certificates'],
      directories: ['/etc', '/var', '/var/lib', '/usr/sbin', '/root', '/home', '/dev', '/proc', '/sys', '/run', '/tmp'],
      files: {
        ...shellFiles(),
        '/etc/passwd': accounts,
        '/etc/group': 'root:x:0:\n',
        '/usr/lib/os-release': 'NAME=Tiny\nID=tiny\nID_LIKE=fedora\nVERSION_ID=1\n',
      },
    },
    base,
  );
  const needs = { requires: ['tiny-base'], requiresPre: ['tiny-base'] };
  await buildRpm(
    {
      name: 'hello',
      version: '2:1.0-1',
      ...needs,
      files: {
        '/usr/bin/hello': '#!/bin/sh\necho hello\n',
        '/etc/hello.conf': { content: 'a=1\n', spec: '%config(noreplace)' },
        '/usr/share/doc/hello/README': { content: 'read me\n', spec: '%doc' },
        '/usr/share/licenses/hello/COPYING': { content: 'free\n', spec: '%license' },
      },
      directories: ['/var/lib/hello'],
      scripts: {
        post: 'echo made > /var/lib/hello/state; test -d /proc/self || exit 9; : > /dev/null; test ! -e /etc/shadow',
      },
    },
    base,
  );
  await buildRpm({ name: 'Capital', version: '1-1', ...needs, files: { '/usr/share/capital': 'C\n' } }, base);
  await buildRpm(
    { name: 'extra', version: '1-1', ...needs, recommends: ['Capital'], files: { '/usr/share/extra': 'E\n' } },
    base,
  );
  await buildRpm({ name: 'broken', version: '1-1', requires: ['libnobody.so.1'] }, base);
  await buildRpm({ name: 'bad-post', version: '1-1', ...needs, scripts: { post: 'echo no luck; exit 3' } }, base);
  for (const name of FEDORA)
    await buildRpm(
      {
        name,
        version: '12-1',
        ...needs,
        files: {
          [`/usr/share/${name}/x`]: `${name}\n`,
          ...(name === 'systemd' ? { '/usr/bin/systemctl': '#!/bin/sh\n' } : {}),
        },
      },
      base,
    );
  const groups = [{ id: 'core', name: 'Core', mandatory: ['tiny-base', 'hello'], optional: ['extra'] }];
  await createRepository(base, { comps: compsXml(groups, { id: 'server', name: 'Server' }) });
  await buildRpm(
    { name: 'hello', version: '2:1.1-1', ...needs, files: { '/usr/bin/hello': '#!/bin/sh\necho hi\n' } },
    updates,
  );
  const fixed = [{ name: 'hello', version: '2:1.1-1', arch: 'noarch' }];
  await createRepository(updates, {
    updateinfo: updateinfoXml([
      { id: 'TINY-1', type: 'security', severity: 'Critical', title: 'hello', cves: ['CVE-2026-1'], packages: fixed },
    ]),
  });
  await mkdir(folder, { recursive: true });
  const section = (id: string, at: string): string =>
    `[${id}]\nname=${id}\nbaseurl=file://${folder}/${at}\ngpgcheck=0\n`;
  await writeFile(
    join(folder, 'tiny.repo'),
    section('base', '$place') + section('updates', 'updates') + section('pool', 'base'),
  );
}
