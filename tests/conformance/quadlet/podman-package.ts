import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mirror } from '../suites.ts';

const CACHE = join(import.meta.dirname, '../../../build/cache/podman');

/** Runs apt-get with lists of its own for one suite, in a folder aside; nothing is installed. */
function aptGet(aside: string, suite: string, kind: 'deb' | 'deb-src', ...args: string[]): void {
  for (const folder of ['lists/partial', 'archives/partial']) mkdirSync(join(aside, folder), { recursive: true });
  writeFileSync(
    join(aside, 'sources.list'),
    `${kind} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror()} ${suite} main\n`,
  );
  const options = Object.entries({
    'Dir::Etc::sourcelist': join(aside, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'Dir::State::lists': join(aside, 'lists'),
    // What is installed here must not choose the version.
    'Dir::State::status': '/dev/null',
    'Dir::Cache': aside,
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled': 'false',
    'APT::Update::Error-Mode': 'any',
  }).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  for (const command of [['update'], args]) {
    execFileSync('apt-get', [...options, '-qq', ...command], { cwd: aside, stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

/** Fills a folder of the cache once; returns it, or why that cannot be had. */
function cached(name: string, fill: (aside: string) => void): { folder: string } | { reason: string } {
  const folder = join(CACHE, name);
  const refused = join(CACHE, `${name}.refused`);
  if (existsSync(folder)) return { folder };
  // A mirror without the file is not asked again in each run; whoever removes the note asks again.
  if (existsSync(refused)) return { reason: readFileSync(refused, 'utf8') };
  const aside = join(CACHE, `.${name}-${process.pid}`);
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  try {
    fill(aside);
    for (const left of ['lists', 'archives', 'sources.list'])
      rmSync(join(aside, left), { recursive: true, force: true });
    renameSync(aside, folder);
    return { folder };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const line = text.split('\n').findLast((one) => one.startsWith('E:')) ?? text.split('\n')[0] ?? '';
    // Hosts' names are nobody's business in a report.
    const reason = `cannot be downloaded: ${line.replaceAll(/https?:\/\/\S+\//g, '')}`;
    if (/404/.test(text)) writeFileSync(refused, reason);
    return { reason };
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** Podman's own generator out of Debian's package of a suite. */
export function podmanGenerator(suite: string): { program: string; version: string } | { reason: string } {
  const found = cached(suite, (aside) => {
    aptGet(aside, suite, 'deb', 'download', `podman/${suite}`);
    const deb = readdirSync(aside).find((file) => file.endsWith('.deb'));
    if (deb === undefined) throw new Error('apt-get download left no package');
    execFileSync('dpkg-deb', ['-x', join(aside, deb), join(aside, 'unpacked')]);
    rmSync(join(aside, deb));
  });
  if ('reason' in found) return found;
  const program = join(found.folder, 'unpacked/usr/libexec/podman/quadlet');
  if (!existsSync(program)) return { reason: `podman of ${suite} has no generator` };
  try {
    return { program, version: execFileSync(program, ['-version'], { encoding: 'utf8' }).trim() };
  } catch {
    return { reason: `the generator of podman in ${suite} does not run here` };
  }
}

/**
 * Podman's source, which holds the fixtures: the folder in ATOMIC_PODMAN_SOURCE, else Debian's source package of a suite.
 */
export function podmanSource(suite: string): { folder: string } | { reason: string } {
  const given = process.env['ATOMIC_PODMAN_SOURCE'];
  if (given !== undefined) return { folder: given };
  const found = cached(`${suite}-source`, (aside) => {
    aptGet(aside, suite, 'deb-src', '--download-only', '--only-source', 'source', 'podman');
    const tar = readdirSync(aside).find((file) => /\.orig\.tar\./.test(file));
    if (tar === undefined) throw new Error('apt-get source left no archive');
    mkdirSync(join(aside, 'source'));
    const members = ['--wildcards', '*/test/e2e/quadlet', '*/test/e2e/quadlet_test.go'];
    execFileSync('tar', ['-C', join(aside, 'source'), '--strip-components=1', '-xf', join(aside, tar), ...members]);
    for (const file of readdirSync(aside)) if (file.startsWith('podman_')) rmSync(join(aside, file));
  });
  return 'reason' in found ? found : { folder: join(found.folder, 'source') };
}
