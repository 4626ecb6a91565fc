// How packages of Debian become packages of the test distribution: names as Fedora has them, versions and relations in
// rpm's words.

/** Packages of Debian that become one RPM, or one of another name; the first gives the version. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  setup: ['base-passwd'],
  filesystem: ['base-files'],
  glibc: ['libc6', 'libc-bin'],
  libgcc: ['libgcc-s1', 'gcc-12-base'],
  'libstdc++': ['libstdc++6'],
  zlib: ['zlib1g'],
  'bzip2-libs': ['libbz2-1.0'],
  'xz-libs': ['liblzma5'],
  libzstd: ['libzstd1'],
  'openssl-libs': ['libssl3'],
  pcre2: ['libpcre2-8-0'],
  libselinux: ['libselinux1'],
  libsepol: ['libsepol2'],
  libsemanage: ['libsemanage2', 'libsemanage-common'],
  libacl: ['libacl1'],
  libattr: ['libattr1'],
  libcap: ['libcap2', 'libcap2-bin'],
  'libcap-ng': ['libcap-ng0'],
  'audit-libs': ['libaudit1', 'libaudit-common'],
  libblkid: ['libblkid1'],
  libmount: ['libmount1'],
  libuuid: ['libuuid1'],
  libfdisk: ['libfdisk1'],
  libsmartcols: ['libsmartcols1'],
  libxcrypt: ['libcrypt1'],
  'elfutils-libelf': ['libelf1'],
  'ncurses-libs': ['libtinfo6', 'libncursesw6'],
  'ncurses-base': ['ncurses-base'],
  ncurses: ['ncurses-bin'],
  readline: ['libreadline8', 'readline-common'],
  'e2fsprogs-libs': ['libext2fs2', 'libcom-err2', 'libss2'],
  pam: ['libpam0g', 'libpam-modules', 'libpam-modules-bin', 'libpam-runtime'],
  'systemd-libs': ['libsystemd0', 'libudev1'],
  'systemd-shared': ['libsystemd-shared'],
  systemd: ['systemd', 'systemd-sysv'],
  'systemd-udev': ['udev'],
  dbus: ['dbus', 'dbus-daemon', 'dbus-bin', 'dbus-system-bus-common', 'dbus-session-bus-common'],
  'dbus-libs': ['libdbus-1-3'],
  kmod: ['kmod'],
  'kmod-libs': ['libkmod2'],
  'util-linux': ['util-linux', 'util-linux-extra', 'mount', 'bsdutils'],
  'shadow-utils': ['passwd', 'login'],
  'procps-ng': ['procps'],
  iproute: ['iproute2'],
  iputils: ['iputils-ping'],
  'cryptsetup-libs': ['libcryptsetup12'],
  'device-mapper': ['dmsetup'],
  'device-mapper-libs': ['libdevmapper1.02.1'],
  dracut: ['dracut-core', 'dracut'],
  ostree: ['ostree-boot', 'ostree'],
  'ostree-libs': ['libostree-1-1'],
  glib2: ['libglib2.0-0'],
  gnupg2: ['gnupg', 'gpg', 'gpg-agent', 'gpgconf', 'gpgsm', 'gnupg-utils', 'gnupg-l10n', 'gpgv', 'dirmngr'],
  rpm: ['rpm', 'rpm-common', 'rpm2cpio'],
  'rpm-libs': ['librpm9', 'librpmio9'],
  'rpm-build-libs': ['librpmbuild9', 'librpmsign9'],
  'python3-rpm': ['python3-rpm'],
  python3: ['python3', 'python3-minimal', 'python3.11', 'python3.11-minimal'],
  'python3-libs': ['libpython3-stdlib', 'libpython3.11-minimal', 'libpython3.11-stdlib', 'libpython3.11'],
  'sqlite-libs': ['libsqlite3-0'],
  expat: ['libexpat1'],
  libxml2: ['libxml2'],
  less: ['less'],
};

const RPM_NAME = new Map(Object.entries(NAMES).flatMap(([rpm, debs]) => debs.map((deb) => [deb, rpm])));

/** Packages that exist for Debian's own tools; nothing of an RPM distribution needs them. */
const DROPPED =
  /^(dpkg|apt|apt-utils|libapt-pkg.*|debconf|debconf-i18n|debconf-2\.0|cdebconf|libdebconfclient0|debian-archive-keyring|init-system-helpers|adduser|ucf|lsb-base|usr-is-merged|usrmerge|debianutils|perl-base|perl|perl:any|linux-base|sensible-utils|dh-python|media-types|mime-support)$/;

/** The RPM that a package of Debian goes into; undefined for what is left out. */
export function rpmName(debian: string): string | undefined {
  if (DROPPED.test(debian)) return undefined;
  if (/^linux-image-\d/.test(debian)) return 'kernel-core';
  if (/^linux-image-/.test(debian)) return 'kernel';
  return RPM_NAME.get(debian) ?? debian;
}

/** A version of Debian as [epoch, version, release], in rpm's alphabet; `~` means the same to both. */
function splitVersion(text: string): { epoch: string; version: string; release: string | undefined } {
  const [, epoch = '0', rest = ''] = /^(?:(\d+):)?(.*)$/s.exec(text) ?? [];
  const dash = rest.lastIndexOf('-');
  const clean = (part: string): string => part.replace(/[^A-Za-z0-9._+~^]/g, '.');
  if (dash < 0) return { epoch, version: clean(rest), release: undefined };
  return { epoch, version: clean(rest.slice(0, dash)), release: clean(rest.slice(dash + 1)) };
}

/** "EPOCH:VERSION-RELEASE", without an epoch of 0. */
export function rpmVersion(debian: string): string {
  const { epoch, version, release } = splitVersion(debian);
  return `${epoch === '0' ? '' : `${epoch}:`}${version}-${release ?? '0'}`;
}

const OPERATORS: Readonly<Record<string, string>> = { '<<': '<', '<=': '<=', '=': '=', '>=': '>=', '>>': '>' };

/** One alternative of a relation; undefined when it is of a package that is left out. */
function relation(text: string): string | undefined {
  const [, name, operator, version] =
    /^\s*([a-z0-9.+-]+)(?::\S+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^)\s]+)\s*\))?/.exec(text) ?? [];
  if (name === undefined || DROPPED.test(name)) return undefined;
  if (operator === undefined || version === undefined) return name;
  const { epoch, version: upstream, release } = splitVersion(version);
  // To rpm, "> 2.36" excludes every release of 2.36; Debian means 2.36-1 by it.
  const comparison = operator === '>>' && release === undefined ? '>=' : OPERATORS[operator];
  return `${name} ${comparison} ${epoch === '0' ? '' : `${epoch}:`}${upstream}${release === undefined ? '' : `-${release}`}`;
}

/** Depends, Recommends… as rpm's; an alternative of Debian's own tools makes the whole relation one of theirs. */
export function relations(field: string | undefined): string[] {
  const found: string[] = [];
  for (const group of (field ?? '').split(',')) {
    if (group.trim() === '') continue;
    const alternatives = group.split('|').map(relation);
    const known = alternatives.filter((one) => one !== undefined);
    if (known.length < alternatives.length) continue;
    found.push(known.length === 1 ? (known[0] ?? '') : `(${known.join(' or ')})`);
  }
  return found;
}
