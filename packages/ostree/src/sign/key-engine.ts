import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '../error.ts';
import type { KeySource, SignEngine } from './engine.ts';
import type { KeyScheme } from './scheme.ts';

const SYSTEM_FOLDERS = ['/etc/ostree', '/usr/share/ostree'];
const MAX_KEY_FILE = 16 * 1024 * 1024;

const keyBytes = (key: string | Buffer): Buffer => (typeof key === 'string' ? Buffer.from(key, 'base64') : key);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Reads a file of keys; throws `not-found` when it is no regular file, `invalid` when it is none of keys. */
export function readKeyFile(scheme: KeyScheme, path: string, kind: 'public' | 'secret'): Buffer[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() !== true) throw new AtomicError('not-found', `File object '${path}' is not a regular file`);
  if (stat.size > MAX_KEY_FILE) throw new AtomicError('invalid', `'${path}' is too large for a file of keys`);
  return scheme.readKeys(readFileSync(path, 'latin1'), kind);
}

/** An engine for a scheme of plain keys. */
export class KeyEngine implements SignEngine {
  readonly type: string;
  readonly metadataKey: string;
  readonly #scheme: KeyScheme;
  #secret: Buffer | null = null;
  /** By their hexadecimal form; the last one added is tried first. */
  readonly #trusted = new Map<string, Buffer>();
  readonly #revoked = new Set<string>();

  constructor(scheme: KeyScheme) {
    this.type = scheme.type;
    this.metadataKey = scheme.metadataKey;
    this.#scheme = scheme;
  }

  setSecretKey(key: string | Buffer): void {
    const bytes = keyBytes(key);
    this.#scheme.checkSecretKey(bytes);
    this.#secret = bytes;
  }

  sign(data: Uint8Array): Buffer {
    if (this.#secret === null) throw new AtomicError('invalid', 'Not able to sign: secret key is not set');
    return this.#scheme.sign(data, this.#secret);
  }

  addPublicKey(key: string | Buffer): void {
    const bytes = keyBytes(key);
    this.#scheme.checkPublicKey(bytes, `Invalid ${this.type} public key`);
    this.#trusted.set(bytes.toString('hex'), bytes);
  }

  #revoke(key: Buffer): void {
    this.#scheme.checkPublicKey(key, `Incorrect ${this.type} revoked key`);
    this.#revoked.add(key.toString('hex'));
  }

  loadPublicKeys({ file, baseDir }: KeySource): void {
    if (file !== undefined) {
      this.#loadFile(file, (key) => this.addPublicKey(key));
      return;
    }
    const folders = baseDir === undefined ? SYSTEM_FOLDERS : [baseDir];
    const trusted = this.#loadFolders(folders, 'trusted', (key) => this.addPublicKey(key));
    if (!trusted) throw new AtomicError('not-found', `signature: ${this.type}: no keys loaded`);
    this.#loadFolders(folders, 'revoked', (key) => this.#revoke(key));
  }

  /** Takes every key of a file that is one; throws when there is none. */
  #loadFile(path: string, take: (key: Buffer) => void): void {
    let taken = 0;
    let failure: unknown;
    for (const key of readKeyFile(this.#scheme, path, 'public')) {
      try {
        take(key);
        taken++;
      } catch (error) {
        failure ??= error;
      }
    }
    if (taken > 0) return;
    throw failure === undefined
      ? new AtomicError('invalid', `signature: ${this.type}: no valid keys in file '${path}'`)
      : new AtomicError('invalid', messageOf(failure), { cause: failure });
  }

  /** Goes through NAME.TYPE and the files in NAME.TYPE.d of each folder; what cannot be read is passed over. */
  #loadFolders(folders: readonly string[], name: string, take: (key: Buffer) => void): boolean {
    let found = false;
    for (const base of folders.map((folder) => join(folder, `${name}.${this.type}`))) {
      let entries: string[] = [];
      try {
        entries = readdirSync(`${base}.d`).sort();
      } catch {
        // most systems have none
      }
      for (const path of [base, ...entries.map((entry) => join(`${base}.d`, entry))]) {
        try {
          this.#loadFile(path, take);
          found = true;
        } catch (error) {
          // One bad file must not lock out the keys in the others. But what is revoked has to be known.
          if (name === 'revoked' && !(error instanceof AtomicError)) throw error;
        }
      }
    }
    return found;
  }

  verify(data: Uint8Array, signatures: readonly Buffer[] | null): string {
    const { type } = this;
    if (signatures === null) throw new AtomicError('invalid', `${type}: commit have no signatures of my type`);
    if (this.#trusted.size === 0) this.loadPublicKeys({});
    const keys = [...this.#trusted].reverse().filter(([hex]) => !this.#revoked.has(hex));
    const tried: string[] = [];
    for (const signature of signatures) {
      this.#scheme.checkSignature(signature);
      for (const [hex, key] of keys) {
        if (this.#scheme.verify(data, key, signature))
          return `${type}: Signature verified successfully with key '${hex}'`;
        tried.push(`key '${hex}'`);
      }
    }
    throw new AtomicError(
      'invalid',
      tried.length === 0
        ? `${type}: no signatures found`
        : tried.length > 3
          ? `${type}: Signature couldn't be verified; tried ${tried.length} keys`
          : `${type}: Signature couldn't be verified with: ${tried.join('; ')}`,
    );
  }
}
