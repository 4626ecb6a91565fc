import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Range } from './partitions.ts';
import { run } from './tools.ts';

/**
 * A partition of an image, by offset, as a loop device: partition device nodes are not needed. Disposing undoes
 * it, mounted or not, also after a failure or an abort.
 */
export class LoopPartition implements AsyncDisposable {
  readonly device: string;
  #folder: string | undefined;
  #own: string | undefined;

  private constructor(device: string) {
    this.device = device;
  }

  static async attach(image: string, range: Range, signal?: AbortSignal): Promise<LoopPartition> {
    const args = ['--find', '--show', '-o', String(range.offset), '--sizelimit', String(range.length), image];
    // Not abortable: killed halfway it could leave a device behind that nobody knows of.
    const device = (await run('losetup', args)).trim();
    const loop = new LoopPartition(device);
    if (signal?.aborted) {
      await loop[Symbol.asyncDispose]();
      throw signal.reason;
    }
    return loop;
  }

  /** Mount it in a new folder of its own, or at `folder`, which stays. */
  async mount(folder?: string): Promise<string> {
    if (folder === undefined) this.#own = await mkdtemp(join(tmpdir(), 'atomic-image-'));
    const at = folder ?? this.#own ?? '';
    await run('mount', ['-t', 'ext4', this.device, at]);
    this.#folder = at;
    return at;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const folder = this.#folder;
    this.#folder = undefined;
    try {
      if (folder !== undefined) await retry(() => run('umount', [folder]), folder);
      if (this.#own !== undefined) await rmdir(this.#own);
      this.#own = undefined;
    } finally {
      await retry(() => run('losetup', ['-d', this.device]), this.device);
    }
  }
}

// Something (an indexer, a worker just ending) may still look into it for a moment.
async function retry(action: () => Promise<unknown>, what: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await action();
      return;
    } catch (error) {
      if (error instanceof Error && /not mounted|No such device/.test(error.message)) return;
      if (attempt === 20) throw new Error(`cannot release ${what}`, { cause: error });
      await sleep(100);
    }
  }
}
