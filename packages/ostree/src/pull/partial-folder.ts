import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { FileLock } from '@atomic/linux';
import type { Repo } from '../repo/repo.ts';
import { BodyPool } from './body-pool.ts';
import { Download } from './download.ts';

const partialSuffix = '.part';

/**
 * `tmp/fetch/`: partial downloads by name. One pull at a time owns it and may continue and leave partials there;
 * another that runs beside it uses names of its own and leaves nothing.
 */
export class PartialFolder implements Disposable {
  readonly #dir: string;
  readonly #expirySeconds: number;
  #lock: FileLock | null = null;
  #made = false;
  readonly #existing = new Set<string>();
  readonly #pool = new BodyPool();
  #serial = 0;

  constructor(repo: Repo) {
    this.#dir = join(repo.path, 'tmp', 'fetch');
    this.#expirySeconds = Number(repo.config.get('core', 'tmp-expiry-secs') ?? 86_400);
  }

  #make(): void {
    if (this.#made) return;
    this.#made = true;
    mkdirSync(this.#dir, { recursive: true });
    this.#lock = FileLock.tryAcquire(`${this.#dir}/lock`, 'exclusive');
    if (this.#lock === null) return;
    // Stock tools clean tmp/ by age: the lock file must not look old while it is held.
    utimesSync(`${this.#dir}/lock`, new Date(), new Date());
    for (const name of readdirSync(this.#dir)) {
      if (name === 'lock') continue;
      const path = join(this.#dir, name);
      const age = (Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)) / 1000;
      if (age > this.#expirySeconds) rmSync(path, { force: true });
      else if (name.endsWith(partialSuffix)) this.#existing.add(name);
    }
  }

  /** A download that is called `name`, going on from what an earlier run left of it. */
  open(name: string, spillBytes: number | undefined): Download {
    this.#make();
    const owned = this.#lock !== null;
    const shared = name + partialSuffix;
    return new Download({
      dir: this.#dir,
      name: owned ? shared : `${name}-${process.pid}-${this.#serial++}${partialSuffix}`,
      keep: owned,
      existing: this.#existing.delete(shared),
      spillBytes,
      pool: this.#pool,
    });
  }

  [Symbol.dispose](): void {
    this.#lock?.[Symbol.dispose]();
    this.#lock = null;
  }
}
