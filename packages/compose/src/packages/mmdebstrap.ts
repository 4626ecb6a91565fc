import type { InstallRequest } from './manager.ts';

export interface MmdebstrapOptions {
  request: InstallRequest;
  /** all that are named */
  packages: readonly string[];
  architecture: string;
  suite: string;
  /** of apt, in the root */
  settings: Readonly<Record<string, string>>;
  /** apt's preferences, a file */
  preferences: string;
  /** folder with apt's lists */
  lists: string;
  /** folder with packages fetched before */
  archives: string;
}

/** What the installation leaves in the root that is none of its packages. */
export const LEFTOVERS = [
  'etc/apt/preferences.d/99compose',
  'etc/apt/apt.conf.d/99mmdebstrap',
  'etc/dpkg/dpkg.cfg.d/99mmdebstrap',
  'etc/dpkg/dpkg.cfg.d/99compose',
];

/** Folders of packages' files that are only read by people; licences (doc/PACKAGE/copyright) stay. */
const DOCUMENTATION = ['man', 'doc', 'info', 'locale', 'lintian', 'bug'];
/** Translations count among them, unless some are asked for. */
const droppedFolders = ({ installLangs }: InstallRequest): string[] =>
  DOCUMENTATION.filter((name) => name !== 'locale' || installLangs === undefined);
const dpkgExcludes = (folders: readonly string[]): string =>
  `${folders.map((name) => `path-exclude=/usr/share/${name}/*`).join('\n')}\npath-include=/usr/share/doc/*/copyright\n`;

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

// mmdebstrap unpacks the first packages itself, without those excludes; this is run before they are configured.
const dropDocumentation = (folders: readonly string[]): string => {
  const paths = folders.map((name) => `"$PWD/${name}"`).join(' ');
  return `set -e
cd "$1/usr/share"
find ${paths} -mindepth 1 -not -type d -not -path '*/doc/*/copyright' -delete 2>/dev/null || true
find ${paths} -mindepth 1 -type d -empty -delete 2>/dev/null || true`;
};

/** Arguments of mmdebstrap that make a root; its sources come on standard input. */
export function mmdebstrapArguments(directory: string, options: MmdebstrapOptions): string[] {
  const { request, archives } = options;
  const setup = [
    'set -e',
    // Merged from birth, as Debian's installer makes it.
    'for d in bin lib lib64 sbin; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done',
    'mkdir -p "$1/etc/apt/preferences.d" "$1/var/cache/apt/archives/partial" "$1/var/lib/apt/lists/partial"',
    // As a file and not by mmdebstrap's --dpkgopt, which would pass the first packages through a slow filter.
    ...(request.documentation
      ? []
      : [
          'mkdir -p "$1/etc/dpkg/dpkg.cfg.d"',
          `printf %s ${quote(dpkgExcludes(droppedFolders(request)))} > "$1/etc/dpkg/dpkg.cfg.d/99compose"`,
        ]),
    // Not as text: a lock of a desktop is longer than an argument may be.
    `cp ${quote(options.preferences)} "$1/etc/apt/preferences.d/99compose"`,
    `cp -a ${quote(options.lists)}/. "$1/var/lib/apt/lists/"`,
    // Hard links when on one file system; packages fetched before are not fetched again.
    `for f in ${quote(archives)}/*.deb; do [ -e "$f" ] || continue; ln "$f" "$1/var/cache/apt/archives/" 2>/dev/null || cp "$f" "$1/var/cache/apt/archives/"; done`,
  ].join('\n');
  return [
    '--variant=essential',
    '--mode=root',
    '--format=directory',
    '--verbose',
    `--architectures=${options.architecture}`,
    `--include=${options.packages.join(',')}`,
    `--aptopt=APT::Install-Recommends "${request.recommends}"`,
    '--aptopt=Acquire::Languages "none"',
    ...Object.entries(options.settings).map(([key, value]) => `--aptopt=${key} "${value}"`),
    // The lists are those of refresh(): what was resolved is what is installed.
    '--skip=update',
    '--skip=essential/unlink',
    '--skip=download/empty',
    '--skip=cleanup/apt',
    '--skip=cleanup/reproducible',
    `--setup-hook=${setup}`,
    ...(request.documentation ? [] : [`--extract-hook=${dropDocumentation(droppedFolders(request))}`]),
    options.suite,
    directory,
    '-',
  ];
}
