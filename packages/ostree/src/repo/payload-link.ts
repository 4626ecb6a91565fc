import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readlinkSync, readSync, rmSync, symlinkSync } from 'node:fs';
import { errnoCode, lgetxattr, shareBlocks, supportsReflink } from '@atomic/linux';
import { AtomicError } from '../error.ts';
import { type Checksum, isChecksum } from '../objects/checksum.ts';
import { bareUserMode } from '../objects/file.ts';
import { isSymlink } from '../objects/mode.ts';
import type { Repo } from './repo.ts';
import type { Stager } from './stager.ts';

/**
 * Payload links: `PAYLOAD.payload-link`, a symlink to the content object whose bytes have the SHA-256 `PAYLOAD`
 * (libostree's ostree-repo-commit.c, `[core] payload-link-threshold`). Objects that differ in owner, mode or attributes
 * only then share their blocks, on file systems that can.
 */
export class PayloadLinks {
  readonly #stager: Stager;
  readonly #threshold: number;
  #supported: boolean | undefined;

  constructor(stager: Stager, threshold: number) {
    this.#stager = stager;
    this.#threshold = threshold;
  }

  /** Lets a whole object, still at `aside`, share blocks with one of the same content. Returns the payload's checksum. */
  share(aside: string): Checksum | null {
    const { mode } = this.#stager.target;
    const stat = lstatSync(aside);
    if (!stat.isFile() || stat.size < this.#threshold) return null;
    if (mode === 'bare-user') {
      const meta = lgetxattr(aside, 'user.ostreemeta');
      if (meta === null || isSymlink(bareUserMode(meta))) return null;
    }
    this.#supported ??= supportsReflink(this.#stager.aside());
    if (!this.#supported) return null;
    const to = openSync(aside, 'r');
    try {
      const payload = payloadChecksum(to);
      const twin = this.#find(payload);
      if (twin === null) return payload;
      const from = openSync(twin, 'r');
      try {
        // The owner may, without having it open for writing; and a file that others run could not be.
        shareBlocks(from, to, stat.size);
      } finally {
        closeSync(from);
      }
      return payload;
    } finally {
      closeSync(to);
    }
  }

  /** Notes where a payload is to be found; who was first stays. */
  note(payload: Checksum, checksum: Checksum): void {
    if (this.#stager.has('payload-link', payload)) return;
    this.#stager.named(this.#stager.stagedPath('payload-link', payload), (path) => {
      try {
        symlinkSync(`../${checksum.slice(0, 2)}/${checksum.slice(2)}.file`, path);
      } catch (error) {
        if (errnoCode(error) !== 'EEXIST') throw error;
      }
    });
  }

  /** The file of an object with this payload. A link to what is gone is removed. */
  #find(payload: Checksum): string | null {
    for (const where of ['stagedPath', 'objectPath'] as const) {
      const link = this.#stager[where]('payload-link', payload);
      let target: string;
      try {
        target = readlinkSync(link);
      } catch (error) {
        if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'EINVAL') continue;
        throw error;
      }
      const match = /^\.\.\/([0-9a-f]{2})\/([0-9a-f]{62})\.file$/.exec(target);
      const checksum = match === null ? '' : `${match[1]}${match[2]}`;
      if (!isChecksum(checksum)) continue;
      const found = [this.#stager.stagedPath('file', checksum), this.#stager.objectPath('file', checksum)].find(
        (path) => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true,
      );
      if (found !== undefined) return found;
      rmSync(link, { force: true });
    }
    return null;
  }
}

/** `[core] payload-link-threshold` in bytes, or null: not asked for, or no mode that keeps plain content. */
export function payloadLinkThreshold(repo: Repo): number | null {
  const text = repo.config.get('core', 'payload-link-threshold');
  if (text === undefined || repo.mode === 'archive' || repo.mode === 'bare-split-xattrs') return null;
  if (!/^\d+$/.test(text.trim()))
    throw new AtomicError('invalid', `core.payload-link-threshold: '${text}' is no number of bytes`);
  return Number(text);
}

function payloadChecksum(fd: number): Checksum {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let at = 0, got = 1; got > 0; at += got) {
    got = readSync(fd, buffer, 0, buffer.length, at);
    hash.update(buffer.subarray(0, got));
  }
  return hash.digest('hex');
}
