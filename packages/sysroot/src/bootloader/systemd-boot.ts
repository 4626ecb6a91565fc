import type { Bootloader } from './bootloader.ts';
import { LoaderVariables } from './efi-variables.ts';
import type { TrialState } from './trial.ts';

/**
 * systemd-boot reads the entries by itself. Counting boots by renaming entries is beyond it where /boot needs an EFI
 * driver of its own (ext4 ones only read), so a new first entry is tried through its one-shot variable: the loader
 * deletes that before it starts the entry, and the boot after goes to the entry we made the default, the one that
 * runs now.
 */
const ONE_SHOT = 'LoaderEntryOneShot';
const DEFAULT = 'LoaderEntryDefault';

/** Names of entries of ours; a default that is none is the administrator's. */
const OURS = /^ostree-\d+\b.*\.conf$/;

/** Whether the running system was started by systemd-boot. */
export const usesSystemdBoot = (root: string): boolean =>
  new LoaderVariables(root).get('LoaderInfo')?.startsWith('systemd-boot') === true;

/** The trial under way; null when there is none. */
export function readOneShotTrial(root: string): TrialState | null {
  const variables = new LoaderVariables(root);
  const fallback = variables.get(DEFAULT);
  if (fallback === null || !OURS.test(fallback)) return null;
  const left = variables.get(ONE_SHOT) === null ? 0 : 1;
  return { tries: 1, left };
}

/** Ends it: the first entry is the default again. */
export function endOneShotTrial(root: string): void {
  const variables = new LoaderVariables(root);
  for (const name of [ONE_SHOT, DEFAULT]) {
    const value = variables.get(name);
    if (value !== null && OURS.test(value)) variables.remove(name);
  }
}

export const systemdBoot = (root: string): Bootloader => ({
  name: 'none',
  atomic: true,
  counts: true,
  write({ deployments }) {
    // Names of entries mean something else after the switch; without a trial the first entry boots.
    if (deployments.some(({ booted }) => booted)) endOneShotTrial(root);
  },
  afterSwap({ trial, entries, deployments }) {
    // On another disk than the running system's, this machine's variables say nothing of it.
    if (trial === null || !deployments.some(({ booted }) => booted)) return;
    const variables = new LoaderVariables(root);
    const [first, fallback] = [entries[0], entries[trial.fallback]];
    if (first === undefined || fallback === undefined || variables.get(DEFAULT) !== null) return;
    // The default first: a cut between the two leaves the old version to boot, not an untried one without a way back.
    variables.set(DEFAULT, fallback);
    if (trial.left > 0) variables.set(ONE_SHOT, first);
  },
});
