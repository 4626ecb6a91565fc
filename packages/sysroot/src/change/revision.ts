import { AtomicError, type Checksum, isChecksum, metadataString } from '@atomic/ostree';
import type { SysrootState } from '../deployment.ts';
import { originRefspec } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { type ChangeOptions, fetch, type Traffic } from './change.ts';

/** What REVISION of deploy and rebase means (rpm-ostree's daemon.rs, parse_revision). */
export type Revision = { kind: 'version' | 'checksum'; value: string };

/** Reads `version=…`, `revision=…`, or what looks like one of the two. Throws `invalid`. */
export function parseRevision(text: string): Revision {
  const [, prefix = '', rest = ''] = /^(version|revision)=(.*)$/is.exec(text) ?? [];
  if (prefix.toLowerCase() === 'version') return { kind: 'version', value: rest };
  const value = prefix === '' ? text : rest;
  if (isChecksum(value)) return { kind: 'checksum', value };
  if (prefix === '') return { kind: 'version', value };
  throw new AtomicError('invalid', `'${value}' is not a commit checksum (64 hex digits)`);
}

/** The first commit that `matches` in the history that starts at `tip`, as far as it is here. */
function searchHere(
  sysroot: Sysroot,
  tip: Checksum | null,
  matches: (checksum: Checksum) => boolean,
): { found: Checksum | null; complete: boolean } {
  for (let at = tip; at !== null; ) {
    if (matches(at)) return { found: at, complete: true };
    if (!sysroot.repo.hasObject('commit', at)) return { found: null, complete: false };
    at = sysroot.repo.loadCommit(at).parent;
  }
  return { found: null, complete: tip !== null };
}

/** Commits brought at a time while history is searched, at first; twice as many each time. */
const FIRST_DEPTH = 10;
const MAX_DEPTH = 10_000;

/**
 * Finds the commit that a revision of a branch means: among what is deployed, in the history that is here, in the
 * server's. The branch itself stays where it is. Throws `not-found` in upstream's words.
 */
export async function findRevision(
  sysroot: Sysroot,
  state: SysrootState,
  revision: Revision,
  refspec: string,
  options: ChangeOptions & { os: string; skipBranchCheck?: boolean | undefined },
  traffic: Traffic,
): Promise<Checksum> {
  const { kind, value } = revision;
  const { repo } = sysroot;
  if (kind === 'checksum' && options.skipBranchCheck) return value;
  const matches = (checksum: Checksum) =>
    kind === 'checksum'
      ? checksum === value
      : repo.hasObject('commit', checksum) && metadataString(repo.loadCommit(checksum).metadata, 'version') === value;
  const deployed = state.deployments.find(
    ({ os, base, origin }) => os === options.os && originRefspec(origin) === refspec && matches(base),
  );
  if (deployed !== undefined) return deployed.base;
  const before = repo.readRef(refspec);
  let { found, complete } = searchHere(sysroot, before, matches);
  try {
    // The tip is asked for first, alone: what is looked for may be newer than anything here.
    for (let depth = 0; found === null && options.cacheOnly !== true && depth <= MAX_DEPTH; ) {
      const { objects } = traffic;
      await fetch(sysroot, refspec, { ...options, depth, commitMetadataOnly: true }, traffic);
      ({ found, complete } = searchHere(sysroot, repo.tryResolveRev(refspec), matches));
      // All there is, or (a shallow copy) all the server has.
      if (found !== null || complete || (depth > 0 && traffic.objects === objects)) break;
      depth = depth === 0 ? FIRST_DEPTH : depth * 2;
    }
  } finally {
    if (repo.readRef(refspec) !== before) repo.setRef(refspec, before);
  }
  if (found !== null) return found;
  throw new AtomicError(
    'not-found',
    `${kind === 'version' ? 'Version' : 'Checksum'} ${value} not found in ${refspec}`,
    {
      hint: kind === 'checksum' ? 'a commit of no branch is taken with --skip-branch-check' : 'see: ostree log REFSPEC',
    },
  );
}
