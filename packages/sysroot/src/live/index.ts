/** Switching /usr of the running system; loaded by the one command that does. */
export const loadApplyLive = async () => await import('./apply-live.ts');
export type { AppliedLive } from './apply-live.ts';
export { type LiveState, readLiveState } from './live-state.ts';
