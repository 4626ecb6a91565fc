import { type Deployment, type SysrootState, sameDeployment } from '../deployment.ts';
import { healthTries } from '../health/config.ts';
import type { Sysroot } from '../sysroot.ts';
import { chooseBootloader } from './choose.ts';
import { endGrubTrial, readGrubTrial } from './grub.ts';
import { endOneShotTrial, readOneShotTrial } from './systemd-boot.ts';

/** How many boots the first entry gets to prove itself, and has left. */
export interface TrialState {
  tries: number;
  left: number;
}

/** A trial that a boot loader is to begin, or to go on with, when the boot entries are switched. */
export interface TrialPlan extends TrialState {
  /** Place of the entry that boots when the tries are used up. */
  fallback: number;
}

/** The trial a running system is in: the first entry is not yet proved. */
export interface Trial {
  /** `first`: this boot is one of its tries. `fallback`: this is another entry, so it failed or somebody chose. */
  tried: 'first' | 'fallback';
  /** Boots the first entry still gets. */
  left: number;
  /** Boots it was given so far. */
  done: number;
}

/** Boots a new entry gets: what the repository's config says, else what the health checks of its tree want. */
function triesFor(sysroot: Sysroot, deployment: Deployment): number {
  return sysroot.config.bootCountingTries ?? healthTries(sysroot.layout.deployment(deployment));
}

function stateOf(sysroot: Sysroot, state: SysrootState): TrialState | null {
  if (sysroot.config.grubMenu) return readGrubTrial(sysroot.layout.loader(state.bootVersion));
  return state.booted === null ? null : readOneShotTrial(sysroot.root);
}

/** Whether the first entry has yet to prove itself. */
export const hasTrial = (sysroot: Sysroot, state: SysrootState): boolean => stateOf(sysroot, state) !== null;

/** Whether the first entry is on trial, and how this boot fits in; null when it is not, or nothing runs from here. */
export function readTrial(sysroot: Sysroot, state: SysrootState = sysroot.load()): Trial | null {
  if (state.booted === null) return null;
  const found = stateOf(sysroot, state);
  if (found === null) return null;
  const first = state.deployments.find(({ staged }) => !staged);
  return {
    tried: first?.booted === true ? 'first' : 'fallback',
    left: found.left,
    done: found.tries - found.left,
  };
}

/** Ends the trial, if there is one: the first entry is the default and no longer counted. May be called at any time. */
export function endTrial(sysroot: Sysroot): void {
  const state = sysroot.load();
  if (sysroot.config.grubMenu) endGrubTrial(sysroot.layout.loader(state.bootVersion));
  else if (state.booted !== null) endOneShotTrial(sysroot.root);
}

/**
 * The trial that begins with a switch to `list`: of a first deployment that never booted, when there is another to
 * fall back to. One under way goes on when the list is written again with the same first.
 */
export function planTrial(sysroot: Sysroot, state: SysrootState, list: readonly Deployment[]): TrialPlan | null {
  const [first] = list;
  if (first === undefined || list.length < 2 || chooseBootloader(sysroot)?.counts !== true) return null;
  const running = list.findIndex(({ booted }) => booted);
  const fallback = Math.max(1, running);
  const now = state.deployments.find(({ staged }) => !staged) ?? null;
  if (sameDeployment(first, now)) {
    const under = stateOf(sysroot, state);
    return under === null ? null : { ...under, fallback };
  }
  // What was written before has tries, if none are left to count: it is known.
  if (first.tries !== null) return null;
  const tries = triesFor(sysroot, first);
  return tries === 0 ? null : { tries, left: tries, fallback };
}
