import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** Upstream's installed tests as one Debian release packages them. */
export interface Suite {
  name: SuiteName;
  /** Version of the package. */
  version: string;
  /** Folder of the scripts. */
  folder: string;
}

export const SUITES = ['bookworm', 'trixie', 'sid'] as const;
export type SuiteName = (typeof SUITES)[number];

const INSTALLED = 'usr/libexec/installed-tests/libostree';

/** The installed package, or undefined. */
function installedSuite(): Suite | undefined {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${Version}', 'ostree-tests'], { encoding: 'utf8' });
  if (query.status !== 0 || !existsSync(`/${INSTALLED}/libtest.sh`)) return undefined;
  return { name: 'bookworm', version: query.stdout.trim(), folder: `/${INSTALLED}` };
}

/** Where this machine gets Debian's packages from. */
export function mirror(): string {
  const targets = spawnSync('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Component: main'], {
    encoding: 'utf8',
  });
  const uris = targets.status === 0 ? targets.stdout.split('\n') : [];
  return uris.find((uri) => /\/debian\/?$/.test(uri)) ?? 'http://deb.debian.org/debian';
}

/**
 * A newer release's package, downloaded (apt checks the archive's signature) and unpacked below `cache`; nothing of it is
 * installed. What is in the cache is kept unless `refresh`. Throws when the mirror cannot be reached.
 */
function fetchedSuite(name: SuiteName, cache: string, refresh: boolean): Suite {
  const home = join(cache, name);
  const versionFile = join(home, 'version');
  const suite = (): Suite => ({
    name,
    version: readFileSync(versionFile, 'utf8').trim(),
    folder: join(home, 'unpacked', INSTALLED),
  });
  if (existsSync(versionFile) && !refresh) return suite();
  const aside = join(cache, `.${name}-${process.pid}`);
  rmSync(aside, { recursive: true, force: true });
  for (const folder of ['lists/partial', 'archives/partial', 'unpacked'])
    mkdirSync(join(aside, folder), { recursive: true });
  try {
    writeFileSync(
      join(aside, 'sources.list'),
      `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror()} ${name} main\n`,
    );
    const options = Object.entries({
      'Dir::Etc::sourcelist': join(aside, 'sources.list'),
      'Dir::Etc::sourceparts': '-',
      'Dir::State::lists': join(aside, 'lists'),
      'Dir::Cache': aside,
      'APT::Sandbox::User': '',
      'Acquire::Languages': 'none',
      'APT::Update::Error-Mode': 'any',
    }).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    const quiet = { cwd: aside, stdio: ['ignore', 'ignore', 'pipe'] as const };
    execFileSync('apt-get', [...options, '-qq', 'update'], { ...quiet, stdio: ['ignore', 'ignore', 'pipe'] });
    execFileSync('apt-get', [...options, '-qq', 'download', 'ostree-tests'], {
      ...quiet,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const deb = readdirSync(aside).find((file) => file.endsWith('.deb'));
    if (deb === undefined) throw new Error('apt-get download left no package');
    execFileSync('dpkg-deb', ['-x', join(aside, deb), join(aside, 'unpacked')]);
    const version = execFileSync('dpkg-deb', ['-f', join(aside, deb), 'Version'], { encoding: 'utf8' });
    for (const name of ['lists', 'archives', deb]) rmSync(join(aside, name), { recursive: true });
    writeFileSync(join(aside, 'version'), version);
    rmSync(home, { recursive: true, force: true });
    renameSync(aside, home);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  return suite();
}

/** A suite, or why it is not to be had here. */
export function findSuite(name: SuiteName, cache: string, refresh: boolean): Suite | string {
  if (name === 'bookworm') return installedSuite() ?? 'the package ostree-tests is not installed';
  mkdirSync(cache, { recursive: true });
  try {
    return fetchedSuite(name, cache, refresh);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return `cannot be downloaded: ${text.split('\n').find((line) => line.startsWith('E:')) ?? text.split('\n')[0]}`;
  }
}

/**
 * What a script needs besides `ostree`: nothing but ordinary tools (`store`), a system root that `ostree admin` looks
 * after (`admin`), another program of upstream's package (`helper`), or the C library itself (`library`).
 */
export type Kind = 'store' | 'admin' | 'helper' | 'library';

const HELPERS = new Set([
  'test-pull-corruption.sh',
  'test-create-usb.sh',
  'test-rofiles-fuse.sh',
  'test-demo-buildsystem.sh',
  'test-switchroot.sh',
]);

function kindOf(folder: string, script: string): Kind {
  if (HELPERS.has(script)) return 'helper';
  if (!/\.(sh|py)$/.test(script) || script === 'test-symbols.sh') return 'library';
  const text = readFileSync(join(folder, script), 'utf8');
  return /ostree admin|setup_os_repository|admin-test/.test(text) ? 'admin' : 'store';
}

/** The scripts of a suite with their kinds, sorted; files that are only sourced are not executable. */
export function scriptsOf(suite: Suite): { script: string; kind: Kind }[] {
  return readdirSync(suite.folder)
    .filter((name) => name.startsWith('test-') && isExecutable(join(suite.folder, name)))
    .sort()
    .map((script) => ({ script, kind: kindOf(suite.folder, script) }));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
