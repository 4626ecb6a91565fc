import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { type RunOptions, run } from '../process.ts';
import { explainDnf } from './dnf-errors.ts';
import { DNF_PROGRAM } from './dnf-program.ts';

/** What dnf is asked; keys that are not there mean nothing. */
export interface DnfRequest {
  action: 'refresh' | 'resolve' | 'fetch' | 'describe' | 'files' | 'search' | 'advisories';
  /** the root the packages are for; `system`: what is installed there counts, and so do its settings */
  installroot: string;
  system?: boolean | undefined;
  config?: string | undefined;
  cachedir: string;
  /** folders with variables of *.repo files */
  varsdir?: readonly string[] | undefined;
  proxy?: string | undefined;
  /** a root whose variables and release count */
  sourceRoot?: string | undefined;
  /** folders with *.repo files */
  reposdir: readonly string[];
  /** the repositories to use; undefined: those that are enabled */
  repos?: readonly string[] | undefined;
  /** repositories only for packages that are locked */
  lockRepos?: readonly string[] | undefined;
  arch: string;
  releasever?: string | undefined;
  platform?: string | undefined;
  vars?: Readonly<Record<string, string>> | undefined;
  /** use what is in the cache; `anew`: ask the servers even if that is fresh enough */
  offline?: boolean | undefined;
  anew?: boolean | undefined;
  recommends?: boolean | undefined;
  exclude?: readonly string[] | undefined;
  install?: readonly string[] | undefined;
  repoPackages?: readonly { repo: string; packages: readonly string[] }[] | undefined;
  /** name → the versions (EVR or EVR.ARCH) one of which it must have */
  locked?: Readonly<Record<string, readonly string[]>> | undefined;
  /** for a system: package files to add, to put in the place of others, names to remove, to take from one repository */
  local?: readonly string[] | undefined;
  replace?: readonly string[] | undefined;
  remove?: readonly string[] | undefined;
  replaceFrom?: readonly { source: string; packages: readonly string[] }[] | undefined;
  /** what is installed stays as it is, but for those named in `free` */
  hold?: boolean | undefined;
  free?: readonly string[] | undefined;
  /** for a search: what is looked for; for describe and advisories: packages, NAME-EVR.ARCH; for files: NAME or NAME=EVR */
  words?: readonly string[] | undefined;
}

const described = z.object({
  name: z.string(),
  version: z.string(),
  arch: z.string(),
  repo: z.string(),
  size: z.number(),
  digest: z.string().nullable(),
});
const problem = z.object({ kind: z.string(), message: z.string(), subject: z.string().nullable() });
const inactive = z.array(z.object({ request: z.string(), by: z.string().nullable() }));

const advisories = z.array(
  z.object({
    id: z.string(),
    kind: z.enum(['unknown', 'security', 'bugfix', 'enhancement', 'newpackage']),
    severity: z.enum(['unknown', 'low', 'moderate', 'important', 'critical']).catch('unknown'),
    packages: z.array(z.string()),
    references: z.array(z.object({ url: z.string(), title: z.string() })),
  }),
);
/** What was published about packages, to `advisories`. */
export const advisoriesAnswer = z.object({ advisories });
/** The state of the repositories, to `refresh`. */
export const repositoriesAnswer = z.object({
  repositories: z.array(
    z.object({ id: z.string(), digest: z.string(), timestamp: z.number().nullable(), packages: z.number().nullable() }),
  ),
});
/** What would be installed and removed, to `resolve`. */
export const planAnswer = z.object({ installed: z.array(described), removed: z.array(described), inactive });
/** The same with the files of the packages, to `fetch`; `keys`: of each repository whose packages have to be signed. */
export const fetchAnswer = z.object({
  installed: z.array(described.extend({ path: z.string() })),
  removed: z.array(described),
  inactive,
  keys: z.record(z.string(), z.array(z.string())),
  advisories,
});
/** Files of packages by themselves, to `files`. */
export const filesAnswer = fetchAnswer.pick({ installed: true, keys: true });
/** What the repositories say of packages, to `describe`. */
export const describedAnswer = z.object({ described: z.array(described) });
/** What was found, to `search`. */
export const searchAnswer = z.object({
  found: z.array(
    z.object({ name: z.string(), summary: z.string(), matched: z.enum(['name+summary', 'name', 'summary']) }),
  ),
});

/** How the program is run: on this machine, or inside a tree. */
export type RunDnf = (
  command: readonly string[],
  options: Pick<RunOptions, 'input' | 'onLine' | 'explain'>,
) => Promise<string>;

export interface AskOptions {
  run?: RunDnf | undefined;
  signal?: AbortSignal | undefined;
  /** one more package has been fetched */
  onFetched?: ((done: number, total: number, name: string) => void) | undefined;
  /** where a treefile names a package or a repository ("file:line"), for messages */
  where?: ((name: string) => string | undefined) | undefined;
}

/**
 * Asks dnf's library. Throws AtomicError: `not-found` for packages and repositories that do not exist, `invalid` for
 * what does not fit together, `network`, `no-space`, `failed`.
 */
export async function askDnf<Answer extends z.ZodType>(
  request: DnfRequest,
  answer: Answer,
  options: AskOptions = {},
): Promise<z.output<Answer>> {
  const runDnf: RunDnf =
    options.run ?? ((command, more) => run(command[0] ?? '', command.slice(1), { ...more, signal: options.signal }));
  const output = await runDnf(['/usr/bin/python3', '-I', '-c', DNF_PROGRAM], {
    input: JSON.stringify(request),
    onLine: (line) => {
      const fetched = /^fetched (\d+) (\d+) (.*)$/.exec(line);
      if (fetched !== null) options.onFetched?.(Number(fetched[1]), Number(fetched[2]), fetched[3] ?? '');
    },
    explain: (text) =>
      new AtomicError('failed', `dnf failed: ${text.trim().split('\n').slice(-2).join(' | ') || 'it said nothing'}`),
  });
  let data: unknown;
  try {
    data = JSON.parse(output);
  } catch (error) {
    throw new AtomicError('failed', `dnf gave no answer, but ${JSON.stringify(output.slice(0, 200))}`, {
      cause: error,
    });
  }
  const failed = z.object({ error: problem }).safeParse(data);
  if (failed.success) throw explainDnf(failed.data.error, options.where ?? (() => undefined));
  const parsed = answer.safeParse(data);
  if (!parsed.success)
    throw new AtomicError('failed', `dnf's answer is not understood: ${parsed.error.issues[0]?.message}`);
  return parsed.data;
}
