export { type Announcer, announcer } from './announce.ts';
export { loadUpdatesConfig, POLICIES, type Policy, setUpdates, type UpdatesConfig } from './config.ts';
export type { Surroundings } from './facts.ts';
export { findBranch, type PulledFrom, type PullFromOptions, pullFrom } from './local-source.ts';
export { BARRIER_KEY, type Look, lookAtBranch } from './look.ts';
export { type Decision, type PendingDeployment, plan, type Reason, type UpdateFacts } from './plan.ts';
export { automaticUpdatesLine, type Forecast, forecast, lastCheckHealth, updatesJson, updatesLines } from './report.ts';
export { offeredAt, parseRollout, placeOf, ROLLOUT_KEY, type Rollout } from './rollout.ts';
export {
  type DriveUpdate,
  holdUpdates,
  releaseUpdates,
  runUpdates,
  type Step,
  type UpdatesOptions,
  type UpdatesRun,
  type UpdatesView,
  updateFromDrive,
  updateNow,
  viewUpdates,
} from './run.ts';
export type { Candidate, UpdatesState } from './state.ts';
