// A small bootable RPM distribution, made of the Debian packages this machine reaches: no mirror of a real one is needed
// to use real dnf, real rpm and a real rpmdb. Packages hold the files of a configured root, so that the maintainer
// scripts, which are Debian's, have been run; what they did belongs to the package they did it for.
//
//   base/      packages, comps groups
//   updates/   newer versions of a few of them, and advisories that name them
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Apt } from '../../packages/compose/src/packages/apt.ts';
import { chooseSources, readMachineSources } from '../../packages/compose/src/packages/apt-sources.ts';
import { relations, rpmName, rpmVersion } from './debian-names.ts';
import {
  type Advisory,
  buildFrom,
  buildRpm,
  compsXml,
  createRepository,
  fileLine,
  type Group,
  type RpmHeader,
  updateinfoXml,
} from './rpm-package.ts';

/** The release the packages are of, as `releasever`. */
export const RELEASEVER = '12';

const PACKAGES = [
  'systemd systemd-sysv udev dbus dbus-daemon systemd-resolved libpam-systemd libnss-systemd',
  'linux-image-cloud-amd64 dracut ostree-boot kmod',
  'iproute2 iputils-ping procps login passwd util-linux e2fsprogs ca-certificates openssl',
  'less file tree rpm dnf python3 bubblewrap',
].flatMap((line) => line.split(' '));

const GROUPS: readonly Group[] = [
  {
    id: 'core',
    name: 'Core',
    mandatory: ['basesystem', 'systemd', 'systemd-udev', 'dbus', 'shadow-utils', 'util-linux', 'kmod'],
    default: ['procps-ng', 'less'],
    optional: ['tree'],
  },
  { id: 'network', name: 'Network', mandatory: ['iproute', 'iputils'], default: ['systemd-resolved'] },
];

/** What is in two versions, and why the second is there. */
const UPDATES: readonly (Omit<Advisory, 'packages'> & { names: string[] })[] = [
  {
    names: ['less'],
    id: 'TEST-2026-0001',
    type: 'security',
    severity: 'Important',
    title: 'less: a file name could run a command',
    cves: ['CVE-2026-10001'],
  },
  { names: ['ca-certificates'], id: 'TEST-2026-0002', type: 'bugfix', title: 'ca-certificates: one authority less' },
  { names: ['tree'], id: 'TEST-2026-0003', type: 'enhancement', title: 'tree: newer' },
];

/** Folders of Debian's own tools, and what is made anew on each machine. */
const LEFT_OUT =
  /^\/(dev|proc|sys|run|tmp|boot|etc\/(apt|dpkg|debconf\.conf|perl|kernel|machine-id|hostname|mtab|ld\.so\.cache|adduser\.conf|deluser\.conf|debian_version|python3\/debian_config|\.resolv\.conf.*)|root\/\..*|usr\/share\/(debconf|lintian|bug|doc-base|perl5?|keyrings)|usr\/lib\/(os-release|dpkg)|var\/(cache|log|backups|tmp|lib\/(dpkg|apt|ucf|pam|systemd\/deb-.*|dbus|misc)))(\/|$)/;

export interface Distribution {
  folder: string;
  /** base and updates, as URLs */
  base: string;
  updates: string;
}

/** A .repo file of the distribution: [base], and [updates] when they are wanted. */
export function repoFile(distribution: Distribution, options: { updates?: boolean } = {}): string {
  const section = (id: string, url: string): string =>
    `[${id}]\nname=Test distribution, ${id}\nbaseurl=${url}\nenabled=1\ngpgcheck=0\nmetadata_expire=0\n`;
  return (
    section('base', distribution.base) + (options.updates === true ? section('updates', distribution.updates) : '')
  );
}

interface Debian {
  name: string;
  architecture: string;
  fields: Map<string, string>;
  rpm: string;
}

/** Owns what goes into no package. */
const NOBODY = '';

/** The packages installed in a root; those of Debian's own tools go into the RPM `NOBODY`. */
function readStatus(root: string): Debian[] {
  const found: Debian[] = [];
  for (const stanza of readFileSync(join(root, 'var/lib/dpkg/status'), 'utf8').split(/\n\n+/)) {
    const fields = new Map<string, string>();
    for (const [, key = '', value = ''] of stanza.matchAll(/^([A-Za-z-]+): *((?:.*(?:\n[ \t].*)*))/gm))
      fields.set(key, value.replace(/\s*\n\s*/g, ' ').trim());
    const name = fields.get('Package');
    if (name === undefined || !/ installed$/.test(fields.get('Status') ?? '')) continue;
    found.push({ name, architecture: fields.get('Architecture') ?? 'all', fields, rpm: rpmName(name) ?? NOBODY });
  }
  return found;
}

/** The place of a path in a root where /bin is a link: its folder resolved, the last part as it is. */
function placeOf(root: string, path: string): string {
  const folder = join(root, dirname(path));
  if (!existsSync(folder)) return path;
  const real = realpathSync(folder);
  return real.startsWith(root) ? join(real.slice(root.length) || '/', basename(path)) : path;
}

/** Who owns what in the root: every file one RPM, a folder all that have it. */
class Owners {
  readonly files = new Map<string, string>();
  readonly folders = new Map<string, Set<string>>();
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  take(path: string, rpm: string): void {
    const stat = lstatSync(join(this.#root, path), { throwIfNoEntry: false });
    if (stat === undefined || LEFT_OUT.test(path)) return;
    if (!stat.isDirectory()) {
      if (!this.files.has(path)) this.files.set(path, rpm);
    } else {
      const owners = this.folders.get(path) ?? new Set();
      this.folders.set(path, owners.add(rpm));
    }
  }

  /** The package a file that no list names was made for: that of a link's target, that of the folder it is in alone. */
  guess(path: string): string | undefined {
    let at = path;
    for (let i = 0; i < 8; i++) {
      const full = join(this.#root, at);
      if (!lstatSync(full, { throwIfNoEntry: false })?.isSymbolicLink()) break;
      const text = readlinkSync(full);
      at = placeOf(this.#root, text.startsWith('/') ? text : join(dirname(at), text));
      const owner = this.files.get(at);
      if (owner !== undefined) return owner;
    }
    for (let folder = dirname(path); folder !== '/'; folder = dirname(folder)) {
      const owners = this.folders.get(folder);
      if (owners?.size === 1) return [...owners][0];
    }
    return undefined;
  }
}

function assignFiles(root: string, packages: readonly Debian[]): Owners {
  const owners = new Owners(root);
  for (const { name, architecture, rpm } of packages) {
    const info = join(root, 'var/lib/dpkg/info');
    const list = [`${name}.list`, `${name}:${architecture}.list`].map((file) => join(info, file)).find(existsSync);
    if (list === undefined) continue;
    for (const line of readFileSync(list, 'utf8').split('\n')) {
      // Links at the top (/bin -> usr/bin) are the file system's, whoever puts files behind them.
      if (line === '' || line === '/.') continue;
      const path = placeOf(root, line);
      if (dirname(path) === '/' && lstatSync(join(root, path), { throwIfNoEntry: false })?.isSymbolicLink()) continue;
      owners.take(path, rpm);
    }
  }
  for (const name of ['passwd', 'group', 'shadow', 'gshadow', 'subuid', 'subgid'])
    owners.files.set(`/etc/${name}`, 'setup');
  // What no package owns: made by its scripts.
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (LEFT_OUT.test(path) || entry.name === '__pycache__' || entry.name.endsWith('-') || entry.name === '.pwd.lock')
        continue;
      if (entry.isDirectory()) {
        if (!owners.folders.has(path)) owners.take(path, owners.guess(path) ?? 'filesystem');
        walk(path);
      } else if (!owners.files.has(path)) {
        if (entry.isSymbolicLink() && folder === '/') {
          if (existsSync(join(root, path)) && !/vmlinuz|initrd/.test(path)) owners.take(path, 'filesystem');
          continue;
        }
        const owner = owners.guess(path);
        // A link to what was left out leads nowhere.
        if (owner === undefined && entry.isSymbolicLink() && folder !== '/etc') continue;
        owners.take(path, owner ?? 'filesystem');
      }
    }
  };
  walk('/');
  return owners;
}

const accountNames = (root: string, file: string): Map<number, string> =>
  new Map(
    readFileSync(join(root, 'etc', file), 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .map(([name = '', , id]): [number, string] => [Number(id), name]),
  );

/** What the packages of Debian leave to its own tools, in an RPM distribution's words. */
const SCRIPTS: Readonly<Record<string, Pick<RpmHeader, 'scripts' | 'triggers'>>> = {
  // Its own group is not there before its files are.
  setup: { scripts: { posttrans: 'chgrp shadow /etc/shadow /etc/gshadow' } },
  glibc: { triggers: '%transfiletriggerin -P 2000000 -- /usr/lib\n/sbin/ldconfig || :' },
  systemd: {
    triggers: [
      '%transfiletriggerin -P 1000700 -- /usr/lib/sysusers.d',
      'systemd-sysusers || :',
      '%transfiletriggerin -P 1000500 -- /usr/lib/tmpfiles.d',
      'systemd-tmpfiles --create >/dev/null 2>&1 || :',
    ].join('\n'),
  },
};

function headers(packages: readonly Debian[]): Map<string, RpmHeader> {
  const found = new Map<string, RpmHeader>();
  const essential = packages.filter((p) => p.fields.get('Essential') === 'yes').map((p) => p.rpm);
  // Nothing in Debian says that it needs an essential package, so these and what they need cannot ask for them all.
  const base = new Set<string>(['setup', 'filesystem', 'basesystem', 'system-release']);
  const byName = new Map(packages.map((p) => [p.name, p]));
  const closure = (rpm: string): void => {
    if (base.has(rpm)) return;
    base.add(rpm);
    for (const p of packages.filter((one) => one.rpm === rpm)) {
      const depends = `${p.fields.get('Depends') ?? ''},${p.fields.get('Pre-Depends') ?? ''}`;
      for (const [, name = ''] of depends.matchAll(/(?:^|[,|])\s*([a-z0-9.+-]+)/g)) {
        const needed = byName.get(name);
        if (needed !== undefined) closure(needed.rpm);
      }
    }
  };
  for (const rpm of essential) closure(rpm);
  for (const rpm of new Set(packages.map((p) => p.rpm))) {
    const parts = packages.filter((p) => p.rpm === rpm);
    const field = (name: string): string[] => [...new Set(parts.flatMap((p) => relations(p.fields.get(name))))];
    const versionOf = (p: Debian): string => rpmVersion(p.fields.get('Version') ?? '0');
    const [first] = parts;
    if (first === undefined) continue;
    found.set(rpm, {
      name: rpm,
      version: versionOf(first),
      arch: parts.some((p) => p.architecture !== 'all') ? 'x86_64' : 'noarch',
      summary: (first.fields.get('Description') ?? rpm).slice(0, 70).replaceAll('%', ''),
      // rpm looks owners of files up while it unpacks: the accounts have to be there.
      requiresPre: rpm === 'setup' ? [] : ['setup'],
      requires: [...field('Pre-Depends'), ...field('Depends'), ...(base.has(rpm) ? [] : ['basesystem'])],
      recommends: field('Recommends'),
      provides: [
        ...parts.filter((p) => p.name !== rpm).map((p) => `${p.name} = ${versionOf(p)}`),
        ...field('Provides'),
        ...(rpm === 'dash' ? ['/bin/sh'] : rpm === 'bash' ? ['/bin/bash'] : []),
        ...(rpm === 'kernel-core' ? [`kernel-modules = ${versionOf(first)}`] : []),
      ],
      changelog: `* Thu Jan 01 2026 Test <test@example> - ${versionOf(first)}\n- Repackaged.`,
      ...SCRIPTS[rpm],
    });
  }
  found.set('basesystem', {
    name: 'basesystem',
    version: `${RELEASEVER}-1`,
    summary: 'What every other package takes for granted',
    requires: ['setup', 'filesystem', 'system-release', ...new Set(essential)],
  });
  return found;
}

const RELEASE = (version: string): Parameters<typeof buildRpm>[0] => ({
  name: 'test-release',
  version,
  provides: [`system-release = ${RELEASEVER}`, `system-release(releasever) = ${RELEASEVER}`],
  requiresPre: ['setup'],
  files: {
    '/usr/lib/os-release': `NAME="Test Linux"\nID=testlinux\nID_LIKE=fedora\nVERSION="${RELEASEVER} (Test)"\nVERSION_ID=${RELEASEVER}\nPRETTY_NAME="Test Linux ${RELEASEVER} (Test)"\n`,
    '/etc/os-release': { link: '../usr/lib/os-release' },
    '/usr/lib/rpm/macros.d/macros.test': '%_dbpath /usr/lib/sysimage/rpm\n%_db_backend sqlite\n',
    // Nothing asks at the first boot, and units are on only where a treefile says so.
    '/usr/lib/systemd/system-preset/99-default-disable.preset': 'disable *\n',
  },
});

async function pool<T>(jobs: readonly T[], work: (job: T) => Promise<void>): Promise<void> {
  const rest = [...jobs];
  const worker = async (): Promise<void> => {
    for (let job = rest.shift(); job !== undefined; job = rest.shift()) await work(job);
  };
  await Promise.all([worker(), worker()]);
}

/** Makes the packages of a root, and the newer ones; returns what these are good for. */
async function repackage(root: string, folder: string, say: (text: string) => void): Promise<Advisory[]> {
  const installed = readStatus(root);
  const owners = assignFiles(root, installed);
  const all = headers(installed.filter((p) => p.rpm !== NOBODY));
  const users = accountNames(root, 'passwd');
  const groups = accountNames(root, 'group');
  const lines = new Map<string, string[]>();
  const add = (rpm: string, line: string): void => {
    lines.set(rpm, [...(lines.get(rpm) ?? []), line]);
  };
  const kernel = readdirSync(join(root, 'usr/lib/modules'))[0] ?? '';
  const attributes = (path: string): string => {
    const stat = lstatSync(join(root, path));
    const mode = (stat.mode & 0o7777).toString(8);
    const capabilities = path === '/usr/bin/ping' ? '%caps(cap_net_raw=ep) ' : '';
    return `${capabilities}%attr(${mode},${users.get(stat.uid) ?? stat.uid},${groups.get(stat.gid) ?? stat.gid}) `;
  };
  for (const [path, rpms] of [...owners.folders].sort(([a], [b]) => (a < b ? -1 : 1)))
    for (const rpm of rpms) if (rpm !== NOBODY) add(rpm, fileLine(path, `${attributes(path)}%dir `));
  for (const [path, rpm] of [...owners.files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (rpm === NOBODY) continue;
    const link = lstatSync(join(root, path)).isSymbolicLink();
    const config = path.startsWith('/etc/') && !link ? '%config(noreplace) ' : '';
    const doc = /^\/usr\/share\/(doc|man|info)\//.test(path) ? '%doc ' : '';
    add(rpm, fileLine(path, `${link ? '%attr(-,root,root) ' : attributes(path)}${config}${doc}`));
  }
  // Fedora's kernel lies beside its modules; what puts it into /boot is no business of a tree.
  const image = join(root, 'usr/lib/modules', kernel, 'vmlinuz');
  if (!existsSync(image)) {
    await rename(join(root, 'boot', `vmlinuz-${kernel}`), image);
    await rename(join(root, 'boot', `config-${kernel}`), join(root, 'usr/lib/modules', kernel, 'config'));
  }
  for (const name of ['vmlinuz', 'config'])
    add('kernel-core', fileLine(`/usr/lib/modules/${kernel}/${name}`, '%attr(0644,root,root) '));

  const base = join(folder, 'base');
  const updates = join(folder, 'updates');
  let done = 0;
  await pool([...all.values()], async (header) => {
    await buildFrom(root, header, lines.get(header.name) ?? [], base);
    if (++done % 20 === 0) say(`${done} of ${all.size} packages`);
  });
  await buildRpm(RELEASE(`${RELEASEVER}-1`), base);
  const advisories: Advisory[] = [];
  for (const { names, ...advisory } of UPDATES) {
    const fixed: Advisory['packages'][number][] = [];
    for (const name of names) {
      const header = all.get(name);
      if (header === undefined) throw new Error(`there is no ${name} to update`);
      const version = `${header.version}.1`;
      const changelog = `* Sun Nov 01 2026 Test <test@example> - ${version}\n- ${advisory.title}${(advisory.cves ?? []).map((cve) => ` (${cve})`).join('')}\n\n${header.changelog}`;
      await buildFrom(root, { ...header, version, changelog }, lines.get(name) ?? [], updates);
      fixed.push({ name, version, arch: header.arch ?? 'noarch' });
    }
    advisories.push({ ...advisory, packages: fixed });
  }
  await buildRpm(RELEASE(`${RELEASEVER}-2`), updates);
  return advisories;
}

/**
 * Makes the distribution below `cache`/rpm, or takes the one made before of the same packages by the same code.
 * Needs root and Debian's package sources.
 */
export async function buildDistribution(cache: string, say: (text: string) => void = () => {}): Promise<Distribution> {
  const sources = chooseSources({ suite: 'bookworm' }, readMachineSources('/etc/apt'), 'bookworm');
  const apt = new Apt({ cachedir: cache, sources, architecture: 'amd64' });
  const request = { packages: PACKAGES, exclude: ['initramfs-tools'], recommends: false, documentation: false };
  await apt.refresh({});
  const hash = createHash('sha256').update(JSON.stringify(await apt.resolve(request, {})));
  for (const name of ['distribution.ts', 'debian-names.ts', 'rpm-package.ts'])
    hash.update(await readFile(join(import.meta.dirname, name)));
  const key = hash.digest('hex').slice(0, 16);
  const folder = join(cache, 'rpm', key);
  const distribution = { folder, base: `file://${folder}/base`, updates: `file://${folder}/updates` };
  if (existsSync(join(folder, 'complete'))) return distribution;
  await rm(join(cache, 'rpm'), { recursive: true, force: true });
  const root = join(cache, 'rpm/root');
  await mkdir(folder, { recursive: true });
  say('installing the packages it is made of');
  await apt.install(root, request, {});
  try {
    const advisories = await repackage(root, folder, say);
    await createRepository(join(folder, 'base'), {
      comps: compsXml(GROUPS, { id: 'server', name: 'Server' }),
    });
    await createRepository(join(folder, 'updates'), { updateinfo: updateinfoXml(advisories) });
    await writeFile(join(folder, 'complete'), '');
    return distribution;
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const cache = join(import.meta.dirname, '../../build/cache');
  console.log((await buildDistribution(cache, console.log)).folder);
}
