import { statfsSync } from 'node:fs';
import { AtomicError } from '../error.ts';
import { formatSize } from '../format-size.ts';
import type { KeyFile } from './keyfile.ts';

type Reserve = { kind: 'size'; megabytes: number } | { kind: 'percent'; percent: number };

/**
 * What of its disk a repository keeps free: `[core] min-free-space-size` (123MB, 4GB, 1TB), else
 * `min-free-space-percent`, else 3 per cent. Throws `invalid` in stock's words.
 */
export function freeSpaceReserve(config: KeyFile): Reserve {
  const size = config.get('core', 'min-free-space-size');
  if (size !== undefined) {
    const match = /^(\d+)([GMT])B$/.exec(size);
    const shift = { M: 1, G: 2 ** 10, T: 2 ** 20 }[match?.[2] ?? ''];
    if (match === null || shift === undefined)
      throw invalid('size', size, "It should be of the format '123MB', '123GB' or '123TB'");
    const megabytes = Number(match[1]) * shift;
    if (megabytes > 2 ** 43) throw invalid('size', size, 'Value was too high');
    if (megabytes > 0) return { kind: 'size', megabytes };
  }
  const text = config.get('core', 'min-free-space-percent') ?? '3';
  const percent = Number(text);
  if (!/^\d+$/.test(text) || percent > 99) throw invalid('percent', text, 'a number from 0 to 99 is wanted');
  return { kind: 'percent', percent };
}

const invalid = (which: string, value: string, reason: string) =>
  new AtomicError('invalid', `Invalid min-free-space-${which} '${value}': ${reason}`);

/** The space a transaction may use up, as libostree counts it: whole blocks of content, metadata is free. */
export class SpaceBudget {
  readonly #reserve: Reserve;
  readonly #blockSize: number;
  #blocks: number;

  constructor(path: string, config: KeyFile) {
    this.#reserve = freeSpaceReserve(config);
    const stat = statfsSync(path);
    this.#blockSize = stat.bsize;
    const wanted =
      this.#reserve.kind === 'size'
        ? (this.#reserve.megabytes * 2 ** 20) / stat.bsize
        : (stat.blocks * this.#reserve.percent) / 100;
    const unlimited = this.#reserve.kind === 'percent' && this.#reserve.percent === 0;
    const free = process.geteuid?.() === 0 ? stat.bfree : stat.bavail;
    this.#blocks = unlimited ? Number.POSITIVE_INFINITY : Math.max(0, Math.floor(free - wanted));
  }

  /** Bytes that are left. */
  get bytes(): number {
    return this.#blocks * this.#blockSize;
  }

  /** Takes room for one content object of `size` bytes; throws `no-space` when the reserve would be touched. */
  take(size: number): void {
    const blocks = Math.floor(size / this.#blockSize) + 1;
    if (blocks > this.#blocks) {
      const requested = `would be exceeded, at least ${formatSize(blocks * this.#blockSize)} requested`;
      const limit =
        this.#reserve.kind === 'size'
          ? `min-free-space-size ${this.#reserve.megabytes}MB`
          : `min-free-space-percent '${this.#reserve.percent}%'`;
      throw new AtomicError('no-space', `${limit} ${requested}`, {
        hint: 'free some space (ostree prune, old deployments), or set core.min-free-space-percent',
      });
    }
    this.#blocks -= blocks;
  }
}

/** Bytes that may be written to a repository now before the reserve is touched. */
export const freeBytes = ({ path, config }: { path: string; config: KeyFile }): number =>
  new SpaceBudget(path, config).bytes;
