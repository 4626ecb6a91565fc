import type { Deployment } from '../deployment.ts';
import type { Sysroot } from '../sysroot.ts';
import type { TrialPlan } from './trial.ts';

/** What a boot loader's file is given when boot entries change. */
export interface BootUpdate {
  sysroot: Sysroot;
  /** Which `boot/loader.N` the new entries are in. */
  bootVersion: 0 | 1;
  /** In boot order. */
  deployments: readonly Deployment[];
  /** File names of the entries, in boot order. */
  entries: readonly string[];
  /** The first entry has to prove itself. */
  trial: TrialPlan | null;
  signal?: AbortSignal | undefined;
}

/** A boot loader that does not read boot entries by itself, or needs to be told of them (libostree's ostree-bootloader.c). */
export interface Bootloader {
  /** As stock's log names it. */
  readonly name: string;
  /** Whether the rename of `boot/loader` is all that switches. */
  readonly atomic: boolean;
  /** Counts boots of an entry on trial by means of its own, not by the entry's name. */
  readonly counts?: boolean;
  /** Called once the new entries are written, before they are flushed and the link is swapped. */
  write?(update: BootUpdate): Promise<void> | void;
  /** Called after the swap is durable. */
  afterSwap?(update: BootUpdate): Promise<void> | void;
}

/** A file for boot loaders, one line an item; of all empty ones only the first is kept, and none at the start, as stock does. */
export function joinLines(lines: readonly string[]): string {
  let text = '';
  let sawEmpty = false;
  lines.forEach((line, index) => {
    if (line === '') {
      if (sawEmpty || index === 0) return;
      sawEmpty = true;
    }
    text += `${line}\n`;
  });
  return text;
}
