import { AtomicError } from '@atomic/ostree';

/** What dnf could not do, as its program tells it. */
export interface DnfProblem {
  kind: string;
  message: string;
  subject: string | null;
}

/** One line of the many that a solver says: which package, and what nobody has for it. */
export function solverReason(text: string): string {
  const lines = text
    .split('\n')
    .filter((line) => !/^(Problem( \d+)?:)?\s*conflicting requests$|^Problem \d+:$/.test(line));
  const [first = 'no reason given'] = lines.map((line) => line.replace(/^Problem( \d+)?: /, ''));
  const causes = lines.filter((line) =>
    /^nothing provides|filtered out by exclude|conflicts with|obsoletes/.test(line),
  );
  const cause = causes.find((line) => line !== first);
  return cause === undefined ? first : `${first} (${cause})`;
}

/** What went wrong, in one line, and what to do about it. */
export function explainDnf(problem: DnfProblem, where: (name: string) => string | undefined): AtomicError {
  const { kind, message, subject } = problem;
  const name = subject ?? '';
  const place = where(name);
  const named = (what: string): string => `${what} '${name}'${place === undefined ? '' : ` (${place})`}`;
  switch (kind) {
    case 'no-dnf':
      return new AtomicError(
        'not-found',
        'cannot use dnf: neither version 4 nor the Python library of version 5 is installed',
        {
          hint: 'install the packages dnf or python3-libdnf5, rpm and bubblewrap',
        },
      );
    case 'no-repo':
      return new AtomicError('not-found', `${named('repository')} is in no *.repo file`, {
        hint: `there are: ${message === '' ? 'none' : message}`,
      });
    case 'no-package':
      return new AtomicError(
        'not-found',
        `${named(name.startsWith('@') ? 'group' : 'package')} is in none of the repositories`,
        {
          hint: 'check the spelling, the repositories and the release',
        },
      );
    case 'in-base':
      return new AtomicError('invalid', `the base has ${name} already, as ${message}`, {
        hint: 'to put the file in its place: atomic host override replace FILE',
      });
    case 'excluded':
      return new AtomicError('invalid', `${named('package')} is excluded, or held at the version that is there`);
    case 'locked':
      return new AtomicError('invalid', `the lock file asks for ${name}, which no repository has`, {
        hint: message === '' ? 'there is no other version either' : `there are: ${message}`,
      });
    case 'conflict': {
      const owner = /package (\S+?)-[^-\s]+-[^-\s]+ /.exec(message)?.[1];
      const at = owner === undefined ? undefined : where(owner);
      return new AtomicError(
        'invalid',
        `${at === undefined ? '' : `${at}: `}the packages do not fit together: ${solverReason(message)}`,
        { hint: 'is a package it needs excluded, or from another release?' },
      );
    }
    case 'network':
      return new AtomicError('network', `cannot fetch packages: ${message}`, {
        hint: 'check the network and the repositories; what was fetched is kept, so run it again',
      });
    case 'offline':
      return new AtomicError('not-found', `there are no package lists yet: ${message}`, {
        hint: 'run it once without --cache-only',
      });
    case 'no-space':
      return new AtomicError('no-space', 'no space left while fetching packages', {
        hint: 'free some space, or put the cache elsewhere with --cachedir',
      });
    default:
      return new AtomicError('failed', `dnf failed: ${message}`);
  }
}
