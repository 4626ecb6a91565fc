import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { mount, umount } from '@atomic/linux';

/** Why an overlay cannot be mounted here, or false. */
export function overlayMissing(scratch: string): string | false {
  if (process.getuid?.() !== 0) return 'needs root: it mounts overlays';
  try {
    const overlay = new Overlay(mkdtempSync(join(scratch, 'probe-')), scratch, 'index=off');
    overlay[Symbol.dispose]();
    return false;
  } catch (error) {
    return `overlayfs cannot be mounted here: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** A mounted overlay; its folders are below `work`. */
export class Overlay implements Disposable {
  readonly upper: string;
  readonly merged: string;
  #mounted = false;

  constructor(work: string, lower: string, options: string) {
    this.upper = join(work, 'upper');
    this.merged = join(work, 'merged');
    for (const folder of [this.upper, this.merged, join(work, 'work')]) mkdirSync(folder, { mode: 0o755 });
    const data = `lowerdir=${lower},upperdir=${this.upper},workdir=${join(work, 'work')},${options}`;
    mount('overlay', this.merged, 'overlay', 0, data);
    this.#mounted = true;
  }

  unmount(): void {
    if (this.#mounted) umount(this.merged);
    this.#mounted = false;
  }

  [Symbol.dispose](): void {
    this.unmount();
  }
}
