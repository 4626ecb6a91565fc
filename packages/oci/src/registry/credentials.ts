import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

/** What one says to a registry who one is: a name and a password, or a token that it gave before. */
export type Credentials = { user: string; password: string } | { identityToken: string };

/** Finds credentials for a repository, such as `registry.example/group/app`. */
export type CredentialsFinder = (repository: string) => Promise<Credentials | undefined>;

const auth = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
});
const file = z.object({
  auths: z.record(z.string(), auth).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});

const answer = z.object({ Username: z.string(), Secret: z.string() });
/** What Docker calls the hub in its file. */
const HUB = 'https://index.docker.io/v1/';

/**
 * Credentials out of auth files (containers-auth.json(5), Docker's config.json), the first that has some; of one file
 * the most specific entry. Throws `invalid` for a file that is none.
 */
export function fromAuthFiles(paths: readonly string[]): CredentialsFinder {
  return async (repository) => {
    for (const path of paths) {
      const found = await lookUp(path, repository);
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

async function lookUp(path: string, repository: string): Promise<Credentials | undefined> {
  const { auths = {}, credHelpers = {}, credsStore } = await read(path);
  const [registry = ''] = repository.split('/');
  const helper = credHelpers[registry];
  if (helper !== undefined) return await ask(helper, registry);
  for (const key of scopes(repository)) {
    const entry = auths[key];
    const found = entry === undefined ? undefined : parse(entry, path, key);
    if (found !== undefined) return found;
  }
  return credsStore === undefined ? undefined : await ask(credsStore, registry === 'docker.io' ? HUB : registry);
}

/** The keys under which a repository's credentials may be, the most specific first. */
function scopes(repository: string): string[] {
  const names = repository.split('/');
  const found = names.map((_name, i) => names.slice(0, names.length - i).join('/'));
  const [registry = ''] = names;
  return [...found, `https://${registry}`, ...(registry === 'docker.io' ? [HUB, 'index.docker.io'] : [])];
}

async function read(path: string): Promise<z.output<typeof file>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return {};
  }
  const wrong = (cause: unknown) =>
    new AtomicError('invalid', `${path} is no file of credentials`, { hint: 'it is made by: skopeo login', cause });
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong(cause);
  }
  const parsed = file.safeParse(value);
  if (!parsed.success) throw wrong(parsed.error);
  return parsed.data;
}

function parse(entry: z.output<typeof auth>, path: string, key: string): Credentials | undefined {
  if (entry.identitytoken !== undefined && entry.identitytoken !== '') return { identityToken: entry.identitytoken };
  if (entry.username !== undefined && entry.password !== undefined)
    return { user: entry.username, password: entry.password };
  if (entry.auth === undefined || entry.auth === '') return undefined;
  const text = Buffer.from(entry.auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon < 0) throw new AtomicError('invalid', `${path} has malformed credentials for ${key}`);
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** Asks a credential helper (docker-credential-helpers' protocol); one that knows nothing has none. */
async function ask(helper: string, server: string): Promise<Credentials | undefined> {
  if (!/^[\w.-]+$/.test(helper)) throw new AtomicError('invalid', `'${helper}' is no credential helper`);
  const output = await new Promise<string | undefined>((resolve, reject) => {
    const child = execFile(`docker-credential-${helper}`, ['get'], { timeout: 30_000 }, (error, stdout) => {
      if (error === null) resolve(stdout);
      else if (/not found|no credentials/i.test(stdout)) resolve(undefined);
      else
        reject(
          new AtomicError('failed', `docker-credential-${helper} failed: ${stdout.trim() || error.message}`, {
            cause: error,
          }),
        );
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(server);
  });
  if (output === undefined) return undefined;
  const parsed = answer.safeParse(JSON.parse(output));
  if (!parsed.success)
    throw new AtomicError('failed', `docker-credential-${helper} said something else than credentials`);
  const { Username, Secret } = parsed.data;
  return Username === '<token>' ? { identityToken: Secret } : { user: Username, password: Secret };
}
