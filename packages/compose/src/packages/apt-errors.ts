import { AtomicError } from '@atomic/ostree';

/**
 * What went wrong, from the output of apt or mmdebstrap: one line and what to do about it.
 * `where` tells the place in the treefile that named a package. Undefined when the output says nothing we know.
 */
export function explainApt(
  output: string,
  where: (packageName: string) => string | undefined,
): AtomicError | undefined {
  const find = (pattern: RegExp): RegExpExecArray | null => pattern.exec(output);
  const named = (name: string): string => {
    const place = where(name);
    return place === undefined ? `package '${name}'` : `package '${name}' (${place})`;
  };

  if (find(/No space left on device|don't have enough free space/i)) {
    return new AtomicError('no-space', 'no space left while installing packages', {
      hint: 'free some space, or put the cache elsewhere with --cachedir',
    });
  }
  const unknown =
    find(/E: Unable to locate package (\S+)/) ??
    find(/E: Package '([^']+)' has no installation candidate/) ??
    find(/E: Couldn't find any package by (?:glob|regex) '([^']+)'/);
  if (unknown !== null) {
    return new AtomicError('not-found', `${named(unknown[1] ?? '')} is in none of the repositories`, {
      hint: 'check the spelling, the suite and the components',
    });
  }
  const version = find(/E: Version '([^']+)' for '([^']+)' was not found/);
  if (version !== null) {
    return new AtomicError('not-found', `${named(version[2] ?? '')} has no version ${version[1]} in the repositories`, {
      hint: `see what there is: apt-cache policy ${version[2]}`,
    });
  }
  const unmet = find(/unmet dependencies:\n((?: .*\n?)+)/);
  if (unmet !== null) {
    const first = (unmet[1] ?? '').trim().split('\n')[0]?.replace(/\s+/g, ' ').trim() ?? '';
    const name = /^(\S+) :/.exec(first)?.[1] ?? '';
    return new AtomicError(
      'invalid',
      `${where(name) === undefined ? '' : `${where(name)}: `}the packages do not fit together: ${first}`,
      {
        hint: 'is a package it needs in exclude-packages, or from another suite?',
      },
    );
  }
  const key =
    find(/(?:NO_PUBKEY|EXPKEYSIG) (\S+)/) ?? find(/is not signed|couldn't be verified because the public key/i);
  const fetch = find(
    /(?:E|W|Err:\d+)[: ]+(?:Failed to fetch )?(https?:\/\/\S+|file:\/\S+|copy:\/\S+)[^\n]*\n?\s*([^\n]*)/,
  );
  if (key !== null) {
    return new AtomicError(
      'invalid',
      `a repository's signature cannot be checked${key[1] === undefined ? '' : `: key ${key[1]} is missing`}`,
      {
        hint: 'name the keyring with signed-by in the treefile',
      },
    );
  }
  const release = find(/The repository '([^']+)' does(?: not|n't) have a Release file/);
  if (release !== null) {
    return new AtomicError('network', `there is no repository at '${release[1]}'`, {
      hint: 'check mirror and suite in the treefile',
    });
  }
  const network = find(/(?:E|W): Failed to fetch (\S+)\s+([^\n]*)/) ?? fetch;
  if (network !== null) {
    return new AtomicError('network', `cannot fetch ${network[1]}: ${(network[2] ?? '').trim() || 'no answer'}`, {
      hint: 'check the network and the mirror; what was fetched is kept, so run it again',
    });
  }
  const error = find(/^E: (.*)$/m);
  if (error !== null) return new AtomicError('failed', `installing packages failed: ${error[1]}`);
  return undefined;
}
