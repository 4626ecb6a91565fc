export { checkName, type Deployed } from './deployments.ts';
export { type Prober, thisMachine as thisProber } from './health.ts';
export * from './lifecycle.ts';
export type { DeployedUnit, DeploymentRecord, HealthCheck, HistoryEvent, HostFile, Probe, Verb } from './record.ts';
export { type Services, Systemd, type SystemdOptions } from './services.ts';
export { describeStep, type Step } from './steps.ts';
