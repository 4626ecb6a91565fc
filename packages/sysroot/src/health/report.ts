import type { Deployment, SysrootState } from '../deployment.ts';
import { sameDeployment } from '../deployment.ts';
import type { Sysroot } from '../sysroot.ts';
import { type BadCommit, loadBadCommits } from './bad-commits.ts';
import { failureOf } from './checks.ts';
import { type BootResult, HealthRecords, isProven, type TrialRecord } from './records.ts';

/** How well the machine is, of what is on record; nothing is looked at anew. */
export interface HealthReport {
  /**
   * `unknown`: no boot was ever judged. `trial`: what runs has still to prove itself. `degraded`: it once did, and its
   * checks failed in its latest boot. `bad`: it is marked bad. `stranded`: it failed, and there is nothing good to go
   * back to. `rolling-back`: the next boot goes back. `rolled-back`: what runs is what the machine went back to.
   */
  state: 'unknown' | 'trial' | 'good' | 'degraded' | 'bad' | 'stranded' | 'rolling-back' | 'rolled-back';
  /** One line for people. */
  summary: string;
  trial: TrialRecord | null;
  /** The latest judged boot of what runs. */
  last: BootResult | null;
  /** Commits not to be taken again, the latest first. */
  bad: BadCommit[];
}

const named = ({ version, checksum }: { version?: string | undefined; checksum: string }) =>
  version === undefined ? checksum.slice(0, 10) : `${version} (${checksum.slice(0, 10)})`;

/** What is on record of a system's health: of the one that runs, or of `os`. */
export function healthReport(sysroot: Sysroot, state: SysrootState = sysroot.load(), os?: string): HealthReport {
  const booted = state.booted !== null && (os === undefined || state.booted.os === os) ? state.booted : null;
  const system = os ?? booted?.os ?? state.deployments[0]?.os;
  if (system === undefined)
    return { state: 'unknown', summary: 'nothing is deployed', trial: null, last: null, bad: [] };
  const records = new HealthRecords(sysroot, system);
  const stored = records.trial();
  const trial = stored.kind === 'there' ? stored.value : null;
  const bad = [...loadBadCommits(sysroot, system).values()].reverse();
  const last =
    records.results(1).find(({ deployment }) => booted === null || sameDeployment(deployment, booted)) ?? null;
  const proven = booted !== null && isProven(records.proven(), booted);
  return { ...describe(booted, trial, bad, last, proven), trial, last, bad };
}

function describe(
  booted: Deployment | null,
  trial: TrialRecord | null,
  bad: readonly BadCommit[],
  last: BootResult | null,
  proven: boolean,
): Pick<HealthReport, 'state' | 'summary'> {
  if (trial !== null && trial.state !== 'trying' && (booted === null || sameDeployment(booted, trial.deployment))) {
    const name = named({ ...trial.deployment, version: trial.version });
    const { reason } = trial.failure;
    if (trial.state === 'stranded') {
      return { state: 'stranded', summary: `${name} failed, and there is nothing good to go back to: ${reason}` };
    }
    return { state: 'rolling-back', summary: `${name} failed, the machine goes back: ${reason}` };
  }
  const mark = bad.find(({ checksum }) => checksum === booted?.checksum);
  if (mark !== undefined) return { state: 'bad', summary: `${named(mark)} is marked bad: ${mark.reason}` };
  const failure = last === null ? null : failureOf(last.checks);
  if (failure !== null) return { state: 'degraded', summary: `a required check failed: ${failure.reason}` };
  const left = bad.find(({ rolledBackTo }) => rolledBackTo !== undefined && rolledBackTo === booted?.checksum);
  if (left !== undefined) return { state: 'rolled-back', summary: `went back from ${named(left)}: ${left.reason}` };
  if (proven) {
    const wanted = last?.checks.filter(({ state }) => state === 'failed' || state === 'timed-out').length ?? 0;
    return { state: 'good', summary: wanted === 0 ? 'good' : `good; ${wanted} wanted checks failed` };
  }
  if (trial?.state === 'trying' && (booted === null || sameDeployment(booted, trial.deployment))) {
    return { state: 'trial', summary: `on trial, boot ${trial.boots.length}` };
  }
  return { state: 'unknown', summary: 'no boot was judged yet' };
}
