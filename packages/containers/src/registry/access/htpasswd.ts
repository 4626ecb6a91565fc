import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { cryptPassword, cryptSalt, errnoCode } from '@atomic/linux';
import { AtomicError, replaceFile } from '@atomic/ostree';
import { RegistryError } from '../registry-error.ts';

/** bcrypt, its cost and what stands for a user nobody has heard of: to refuse him takes as long as any other. */
const METHOD = '$2b$';
const COST = 10;
const NOBODY = '$2b$10$abcdefghijklmnopqrstuuGm8JKT2M2DO9KhLJJm4IkF0AbpCPyZG';
/** Passwords that were right lately, so that each request of a pull does not cost what bcrypt is to cost. */
const REMEMBERED = 1000;
/** Logins that wait for their turn; beyond, clients are told to come back. */
const QUEUE = 64;

/** A file of users as Apache's htpasswd writes it: `USER:HASH` by line. Read anew when it has changed. */
export class Htpasswd {
  readonly path: string;
  #users = new Map<string, string>();
  #read = '';
  readonly #key = randomBytes(32);
  readonly #right = new Map<string, string>();
  #turn: Promise<unknown> = Promise.resolve();
  #queued = 0;

  /** Throws what {@link parseHtpasswd} does, and `not-found`. */
  constructor(path: string) {
    this.path = path;
    this.#refresh();
  }

  #refresh(): void {
    let stamp: string;
    try {
      const { ino, size, mtimeMs } = statSync(this.path);
      stamp = `${ino} ${size} ${mtimeMs}`;
      if (stamp === this.#read) return;
      this.#users = parseHtpasswd(readFileSync(this.path, 'utf8'), this.path);
    } catch (error) {
      // A file that somebody is replacing badly must not let anybody in, nor end the server.
      if (this.#read !== '') return;
      if (errnoCode(error) !== 'ENOENT') throw error;
      throw new AtomicError('not-found', `there is no file of users ${this.path}`, {
        hint: `make one with: atomic registry user add NAME --htpasswd=${this.path}`,
      });
    }
    this.#read = stamp;
    this.#right.clear();
  }

  /** Whether the password is the user's; throws 429 when too many are asking. */
  async check(user: string, password: string): Promise<boolean> {
    this.#refresh();
    const hash = this.#users.get(user);
    const key = createHmac('sha256', this.#key).update(`${user}\0${password}`).digest('base64');
    if (hash !== undefined && this.#right.get(key) === hash) return true;
    if (this.#queued >= QUEUE) {
      throw new RegistryError(429, 'TOOMANYREQUESTS', 'too many are logging in', { headers: { 'Retry-After': '5' } });
    }
    // One at a time: the threads that count are those that read and write blobs.
    this.#queued++;
    const counted = this.#turn.then(() => cryptPassword(password, hash ?? NOBODY));
    this.#turn = counted.catch(() => undefined);
    let result: string | null;
    try {
      result = await counted;
    } finally {
      this.#queued--;
    }
    if (result === null || hash === undefined || password.includes('\0')) return false;
    const [one, other] = [Buffer.from(result), Buffer.from(hash)];
    if (one.length !== other.length || !timingSafeEqual(one, other)) return false;
    if (this.#right.size >= REMEMBERED) this.#right.clear();
    this.#right.set(key, hash);
    return true;
  }
}

/** Users and their hashes; throws `invalid` for a line that is neither, or a hash that nobody can be checked against. */
export function parseHtpasswd(text: string, path: string): Map<string, string> {
  const users = new Map<string, string>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [, user, hash] = /^([^:]+):(\$(?:2[abxy]|5|6|y|gy)\$\S+)$/.exec(line) ?? [];
    if (user === undefined || hash === undefined) {
      throw new AtomicError(
        'invalid',
        `${path}:${index + 1} is not USER:HASH with a hash of bcrypt (or another of crypt(3))`,
        {
          hint: 'htpasswd -B, or: atomic registry user add NAME',
        },
      );
    }
    users.set(user, hash);
  }
  return users;
}

/** Adds a user, or gives one another password. Comments and other users stay as they are. */
export async function setUser(path: string, user: string, password: string): Promise<'added' | 'changed'> {
  if (!/^[^:\s\p{Cc}]{1,255}$/u.test(user)) throw new AtomicError('invalid', `'${user}' cannot be the name of a user`);
  if (password === '' || /[\0\n]/.test(password))
    throw new AtomicError('invalid', 'the password is empty or has a line break');
  // bcrypt looks no further.
  if (Buffer.byteLength(password) > 72) throw new AtomicError('invalid', 'the password has more than 72 bytes');
  const hash = await cryptPassword(password, cryptSalt(METHOD, COST, randomBytes(16)));
  if (hash === null) throw new AtomicError('failed', 'libcrypt cannot make bcrypt hashes');
  const lines = linesOf(path);
  const rest = lines.filter((line) => !line.startsWith(`${user}:`));
  replaceFile(path, `${[...rest, `${user}:${hash}`].join('\n')}\n`, { mode: 0o600 });
  return rest.length === lines.length ? 'added' : 'changed';
}

/** Takes a user away; false when there is none. */
export function removeUser(path: string, user: string): boolean {
  const lines = linesOf(path);
  const rest = lines.filter((line) => !line.startsWith(`${user}:`));
  if (rest.length === lines.length) return false;
  replaceFile(path, rest.map((line) => `${line}\n`).join(''), { mode: 0o600 });
  return true;
}

/** The users of a file; none when there is no file. */
export const listUsers = (path: string): string[] => [...parseHtpasswd(linesOf(path).join('\n'), path).keys()];

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return [];
    throw error;
  }
}
