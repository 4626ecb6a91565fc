import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';

/** One apt source: where packages come from. */
export interface AptSource {
  uri: string;
  suite: string;
  components: string[];
  signedBy: string | undefined;
  /** the key itself, where the source holds it */
  key?: string | undefined;
  trusted: boolean;
  architectures: string[];
  /** the file it was read from, for messages */
  origin: string;
}

/** Reads one-line entries (sources.list(5)); deb-src and comments are left out. */
export function parseOneLine(text: string, origin: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*/, '').trim();
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (match === null) continue;
    const [, bracket = '', uri = '', suite = '', rest = ''] = match;
    const options = new Map(
      bracket
        .split(/\s+/)
        .filter(Boolean)
        .map((o): [string, string] => {
          const eq = o.indexOf('=');
          return [o.slice(0, eq).toLowerCase(), o.slice(eq + 1)];
        }),
    );
    sources.push({
      uri,
      suite,
      components: rest.split(/\s+/).filter(Boolean),
      signedBy: options.get('signed-by'),
      trusted: options.get('trusted') === 'yes',
      architectures: (options.get('arch') ?? '').split(',').filter(Boolean),
      origin,
    });
  }
  return sources;
}

/** Reads deb822 stanzas (the .sources form of sources.list(5)); disabled and source-only stanzas are left out. */
export function parseDeb822(text: string, origin: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.replace(/^#.*\n?/gm, '').split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    let key = '';
    for (const line of stanza.split('\n')) {
      const field = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line);
      if (field !== null) {
        key = (field[1] ?? '').toLowerCase();
        fields.set(key, (field[2] ?? '').trim());
      } else if (/^\s/.test(line) && key !== '') fields.set(key, `${fields.get(key) ?? ''}\n${line.trim()}`);
    }
    const words = (name: string): string[] => (fields.get(name) ?? '').split(/\s+/).filter(Boolean);
    if (!words('types').includes('deb') || fields.get('enabled') === 'no') continue;
    const signedBy = fields.get('signed-by')?.trim();
    // A dot stands for an empty line.
    const ownKey = signedBy?.includes('BEGIN PGP') ? `${signedBy.replace(/^\.$/gm, '')}\n` : undefined;
    for (const uri of words('uris')) {
      for (const suite of words('suites')) {
        sources.push({
          uri,
          suite,
          components: words('components'),
          signedBy: ownKey === undefined ? signedBy : undefined,
          key: ownKey,
          trusted: fields.get('trusted') === 'yes',
          architectures: words('architectures'),
          origin,
        });
      }
    }
  }
  return sources;
}

/** All sources of a machine's apt configuration directory (/etc/apt). */
export function readMachineSources(etcApt: string): AptSource[] {
  const sources: AptSource[] = [];
  const main = join(etcApt, 'sources.list');
  if (existsSync(main)) sources.push(...parseOneLine(readFileSync(main, 'utf8'), main));
  const parts = join(etcApt, 'sources.list.d');
  for (const name of existsSync(parts) ? readdirSync(parts).sort() : []) {
    const file = join(parts, name);
    if (name.endsWith('.list')) sources.push(...parseOneLine(readFileSync(file, 'utf8'), file));
    else if (name.endsWith('.sources')) sources.push(...parseDeb822(readFileSync(file, 'utf8'), file));
  }
  return sources;
}

/** A Debian archive, by its keyring or its path; third-party repositories take no part unless a treefile names them. */
function isDebian(source: AptSource): boolean {
  return (
    /\/debian(-security|-ports)?\/?$/.test(source.uri) ||
    (source.key === undefined && /debian-archive|debian\.gpg/.test(source.signedBy ?? '')) ||
    /(^|[./])debian\.org/.test(source.uri)
  );
}

const belongs = (source: AptSource, suite: string): boolean =>
  source.suite === suite || ['-updates', '-security', '/updates'].some((end) => source.suite === suite + end);

export const sourceLine = (source: AptSource): string => {
  const options = [
    ...(source.architectures.length > 0 ? [`arch=${source.architectures.join(',')}`] : []),
    ...(source.signedBy === undefined ? [] : [`signed-by=${source.signedBy.split(/\s+/).join(',')}`]),
    ...(source.trusted ? ['trusted=yes'] : []),
  ];
  const bracket = options.length === 0 ? '' : `[${options.join(' ')}] `;
  return `deb ${bracket}${source.uri} ${source.suite} ${source.components.join(' ')}`.trim();
};

/** A repository a treefile names: a file of sources.list.d, a one-line entry, or the entry's parts. */
type RepoSpec = string | { url: string; suite: string; components: string[]; 'signed-by'?: string | undefined };

export interface SourceChoice {
  suite?: string | undefined;
  mirror?: string | undefined;
  components?: readonly string[] | undefined;
  signedBy?: string | undefined;
  repos?: readonly RepoSpec[] | undefined;
}

export interface ChosenSources {
  suite: string;
  /** sources.list lines */
  lines: string[];
  /** further sources, from which only locked packages come */
  onlyLocked?: readonly AptSource[] | undefined;
  /** the sources behind the name of a repository */
  named?: ((id: string) => AptSource[]) | undefined;
}

/** The sources behind repositories as treefiles name them. Throws AtomicError 'not-found' for a name nobody has. */
export function namedSources(repos: readonly RepoSpec[], machine: readonly AptSource[]): AptSource[] {
  const sources: AptSource[] = [];
  for (const repo of repos) {
    if (typeof repo !== 'string') {
      sources.push({
        uri: repo.url,
        suite: repo.suite,
        components: repo.components,
        signedBy: repo['signed-by'],
        trusted: false,
        architectures: [],
        origin: 'treefile',
      });
    } else if (repo.startsWith('deb ')) sources.push(...parseOneLine(repo, 'treefile'));
    else {
      const named = machine.filter(
        (source) => source.origin.replace(/.*\//, '').replace(/\.(list|sources)$/, '') === repo,
      );
      if (named.length === 0) {
        throw new AtomicError('not-found', `the treefile's repo '${repo}' is no file of /etc/apt/sources.list.d`, {
          hint: `there are: ${[...new Set(machine.map((s) => s.origin.replace(/.*\//, '')))].join(', ') || 'none'}`,
        });
      }
      sources.push(...named);
    }
  }
  return sources;
}

const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * The sources of a compose: the treefile's mirror, else the machine's own Debian sources of the suite; plus the repos
 * the treefile names. `codename` is this machine's release, the default suite.
 * Throws AtomicError 'not-found' when nothing is left to install from.
 */
export function chooseSources(
  choice: SourceChoice,
  machine: readonly AptSource[],
  codename: string | undefined,
): ChosenSources {
  const suite = choice.suite ?? codename;
  if (suite === undefined) {
    throw new AtomicError(
      'invalid',
      'the treefile has no suite, and this machine is no Debian release to take it from',
      {
        hint: "add 'suite: bookworm' to the treefile",
      },
    );
  }
  const components = choice.components;
  let sources: AptSource[];
  if (choice.mirror !== undefined) {
    const signedBy = choice.signedBy ?? (existsSync(DEBIAN_KEYRING) ? DEBIAN_KEYRING : undefined);
    sources = [
      {
        uri: choice.mirror,
        suite,
        components: [...(components ?? ['main'])],
        signedBy,
        trusted: false,
        architectures: [],
        origin: 'treefile',
      },
    ];
  } else {
    sources = machine
      .filter((source) => isDebian(source) && belongs(source, suite))
      .map((source) => ({
        ...source,
        components: components === undefined ? source.components.filter((c) => c === 'main') : [...components],
      }))
      .filter((source) => source.components.length > 0);
  }
  sources.push(...namedSources(choice.repos ?? [], machine));
  if (sources.length === 0) {
    throw new AtomicError('not-found', `this machine's apt has no Debian source for suite '${suite}'`, {
      hint: "name one in the treefile: 'mirror: http://deb.debian.org/debian'",
    });
  }
  return { suite, lines: [...new Set(sources.map(sourceLine))] };
}
