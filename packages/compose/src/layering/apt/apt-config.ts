import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { followInTree } from '../../tree-files.ts';
import type { LayerSpace } from '../space.ts';

/** Folders of the cache, and where apt looks for them. */
const LISTS = 'lists';
const DOWNLOADS = 'downloads';
/** Of downloaded packages. */
export const archivesOf = (cache: string): string => join(cache, DOWNLOADS, 'archives');
/** Of repositories' lists. */
export const listsOf = (cache: string): string => join(cache, LISTS);

/** Read first: the machine's settings, from where its folder is mounted, for packages may bring files to /etc/apt. */
const EARLY = 'Dir::Etc "/run/atomic/etc-apt";\n';

/** Read last: nobody asks, nothing but apt and dpkg is run, a crash costs no package of this tree. */
const LATE = `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Chroot-Directory;
APT::Get::Assume-Yes "true";
APT::Get::Purge "true";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Debug::NoLocking "true";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
DPkg::Use-Pty "false";
DPkg::Path "/usr/sbin:/usr/bin:/sbin:/bin";
DPkg::Options { "--force-confdef"; "--force-confold"; "--force-unsafe-io"; "--debug=2"; };
`;

// 101: what is asked for is forbidden (invoke-rc.d's policy layer). Nothing is to be started in a tree.
const POLICY = '#!/bin/sh\nexit 101\n';

/** What apt and maintainer scripts find in their environment. INITRD: kernels' hooks are not to make an initramfs. */
export const APT_ENVIRONMENT: Readonly<Record<string, string>> = {
  APT_CONFIG: '/run/atomic/apt.conf',
  DEBIAN_FRONTEND: 'noninteractive',
  DEBCONF_NONINTERACTIVE_SEEN: 'true',
  DEBCONF_NOWARNINGS: 'yes',
  APT_LISTCHANGES_FRONTEND: 'none',
  INITRD: 'No',
};

/** Words before what apt-get is to do. */
export const aptGet = (...words: string[]): string[] => ['apt-get', '-c=/run/atomic/late.conf', ...words];

/** Writes what apt reads, makes the folders it wants. `etc`: the machine's; undefined: the tree's own counts. */
export function writeAptConfig(space: LayerSpace, etc: string | undefined): void {
  const own = etc === undefined || !existsSync(join(etc, 'apt'));
  writeFileSync(join(space.control, 'apt.conf'), own ? '' : EARLY);
  writeFileSync(join(space.control, 'late.conf'), LATE);
  writeFileSync(join(space.control, 'policy-rc.d'), POLICY, { mode: 0o755 });
  for (const name of ['etc-apt', 'debs']) mkdirSync(join(space.control, name), { recursive: true });
  for (const name of [LISTS, `${DOWNLOADS}/archives`])
    mkdirSync(join(space.cache, name, 'partial'), { recursive: true });
}

type Bind = readonly [string, string, boolean];

/** What apt needs beside the tree: its caches (written to only while no script runs) and the machine's settings. */
export function aptBinds(space: LayerSpace, etc: string | undefined, writable: boolean): Bind[] {
  const binds: Bind[] = [
    [listsOf(space.cache), '/var/lib/apt/lists', writable],
    [join(space.cache, DOWNLOADS), '/var/cache/apt', writable],
    [join(space.control, 'policy-rc.d'), '/usr/sbin/policy-rc.d', false],
  ];
  if (etc !== undefined && existsSync(join(etc, 'apt'))) {
    binds.push([join(etc, 'apt'), '/run/atomic/etc-apt', false]);
  }
  return binds;
}

/** What fetching needs more: keys and certificates where the machine's settings name them, and how names are resolved. */
export function networkBinds(space: LayerSpace, etc: string | undefined): Bind[] {
  const binds: Bind[] = [];
  for (const name of etc === undefined ? [] : ['apt', 'ssl']) {
    if (lstatSync(join(etc ?? '', name), { throwIfNoEntry: false })?.isDirectory())
      binds.push([join(etc ?? '', name), `/etc/${name}`, false]);
  }
  for (const name of ['resolv.conf', 'hosts']) {
    // This machine's, wherever its link leads; in the tree the name may be a link into /run.
    if (!existsSync(`/etc/${name}`)) continue;
    writeFileSync(join(space.control, name), readFileSync(`/etc/${name}`));
    const inside = followInTree(space.root, `/etc/${name}`);
    if (inside !== undefined) binds.push([join(space.control, name), inside, false]);
  }
  return binds;
}

/** Names the state of the repositories' settings: other settings, other lists. */
export function sourcesDigest(root: string, etc: string | undefined): string {
  const folder = etc !== undefined && existsSync(join(etc, 'apt')) ? join(etc, 'apt') : join(root, 'etc/apt');
  const hash = createHash('sha256');
  const add = (path: string): void => {
    if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return;
    hash.update(basename(path)).update('\0').update(readFileSync(path)).update('\0');
  };
  add(join(folder, 'sources.list'));
  const parts = join(folder, 'sources.list.d');
  for (const name of existsSync(parts) ? readdirSync(parts).sort() : []) add(join(parts, name));
  return hash.digest('hex');
}
