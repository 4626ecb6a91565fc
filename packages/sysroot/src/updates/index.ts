export { type Announcer, announcer } from './announce.ts';
export { loadUpdatesConfig, POLICIES, type Policy, type UpdatesConfig } from './config.ts';
export { type DriveSource, type DriveUpdate, updateFromDrive } from './drive.ts';
export type { Surroundings } from './facts.ts';
export { findBranch, type PulledFrom, type PullFromOptions, pullFrom } from './local-source.ts';
export { BARRIER_KEY, type Look, lookAtBranch, STREAM_KEY } from './look.ts';
export { type Decision, type PendingDeployment, plan, type Reason, type UpdateFacts } from './plan.ts';
export { automaticUpdatesLine, type Forecast, forecast, lastCheckHealth, updatesJson, updatesLines } from './report.ts';
export { offeredAt, parseRollout, placeOf, ROLLOUT_KEY, type Rollout } from './rollout.ts';
export {
  holdUpdates,
  releaseUpdates,
  runUpdates,
  type Step,
  setUpdates,
  type UpdatesOptions,
  type UpdatesRun,
  type UpdatesView,
  updateNow,
  viewUpdates,
} from './run.ts';
export type { Candidate, UpdatesState } from './state.ts';
