import { sameDeployment } from '../deployment.ts';
import type { DeploymentId } from '../layout.ts';
import type { BootMark, Failure, TrialRecord } from './records.ts';

/** A deployment as far as its health matters. */
export interface Candidate extends DeploymentId {
  version?: string | undefined;
  /** It had a good boot. */
  proven: boolean;
  /** Its commit is marked bad. */
  bad: boolean;
}

/** All that is known when something is to be decided; read from the disk each time. */
export interface Facts {
  boot: BootMark;
  /** What runs. */
  booted: Candidate;
  /** The written deployments in boot order, what runs among them. */
  deployments: readonly Candidate[];
  trial: TrialRecord | null;
  /** What the boot loader counted, if it counts: boots left to the first deployment, and which of the two it took. */
  loader: { tried: 'first' | 'fallback'; left: number } | null;
  /** Boots a new deployment gets. */
  tries: number;
}

/** The next thing to do. The first six are done and then decided upon again; the last four end it. */
export type Step =
  | { do: 'note'; trial: TrialRecord }
  | { do: 'forget-trial' }
  /** Tell the boot loader that the first deployment has proved itself. */
  | { do: 'end-counting' }
  | { do: 'mark-bad'; deployment: Candidate; failure: Failure; to: Candidate | null }
  | { do: 'make-first'; deployment: Candidate; why: string }
  | { do: 'prove'; deployment: Candidate }
  | { do: 'reboot'; into: DeploymentId }
  /** What runs is on trial: check it. */
  | { do: 'check' }
  /** What runs is bad and there is nothing to be done about it. */
  | { do: 'stay'; why: string }
  | { do: 'rest' };

const neverFinished = ({ tries }: Facts, boots: number) =>
  `it was booted ${boots === 1 ? 'once' : `${boots} times`} of ${tries} and its checks never came to an end`;

/**
 * What the machine goes back to from `from`: what runs instead of it; else the first that has proved itself; else what
 * boots next anyway, or comes after it, and is not known to be bad. Null when there is nothing good. Putting it first
 * does not change the answer.
 */
export function rollbackTarget(facts: Facts, from: DeploymentId): Candidate | null {
  if (!sameDeployment(facts.booted, from)) return facts.booted;
  const others = facts.deployments.filter((one) => !sameDeployment(one, from));
  const proven = others.find((one) => one.proven && !one.bad);
  if (proven !== undefined) return proven;
  return others.find((one) => !one.bad) ?? null;
}

/** What to do next, early in a boot, or after a verdict was noted. Pure: the same facts give the same step. */
export function decide(facts: Facts): Step {
  const { booted, trial } = facts;
  const [first] = facts.deployments;
  const known = (id: DeploymentId) => facts.deployments.find((one) => sameDeployment(one, id));
  switch (trial?.state) {
    case 'failed': {
      const failed = known(trial.deployment);
      // Removed meanwhile, by an administrator.
      if (failed === undefined) return { do: 'forget-trial' };
      return goBack(facts, trial, failed);
    }
    case 'rolled-back':
      if (!sameDeployment(booted, trial.deployment)) return { do: 'forget-trial' };
      if (trial.bootId === facts.boot.id) return { do: 'reboot', into: trial.to };
      // We went back, and yet it runs: somebody chose it in the menu, or the boot loader could not start the other.
      return { do: 'stay', why: `${trial.failure.reason}; it was booted again after the machine went back from it` };
    case 'stranded':
      if (!sameDeployment(booted, trial.deployment) || booted.proven) return { do: 'forget-trial' };
      return { do: 'check' };
    default:
  }
  // Lost power between the verdict and the boot loader's being told.
  if (facts.loader !== null && first?.proven === true) return { do: 'end-counting' };
  const fellBack = beforeThis(facts, first);
  if (fellBack !== null) return fellBack;
  if (trial !== null && known(trial.deployment) === undefined) return { do: 'forget-trial' };
  if (booted.proven) {
    // An earlier boot of it was good; somebody may still have a newer one on trial.
    return { do: 'rest' };
  }
  if (booted.bad) return { do: 'stay', why: 'this version is marked bad' };
  const boots = trial !== null && sameDeployment(trial.deployment, booted) ? trial.boots : [];
  if (boots.some(({ id }) => id === facts.boot.id)) return { do: 'check' };
  if (boots.length >= facts.tries) return fail(facts, booted, { reason: neverFinished(facts, boots.length) });
  const { os, checksum, serial, version } = booted;
  return {
    do: 'note',
    trial: { state: 'trying', deployment: { os, checksum, serial }, version, boots: [...boots, facts.boot] },
  };
}

/** Whether the deployment that should have booted was tried before this one, and has used its tries up. */
function beforeThis(facts: Facts, first: Candidate | undefined): Step | null {
  const { booted, trial, loader } = facts;
  if (first === undefined || sameDeployment(first, booted) || first.proven || first.bad) return null;
  const boots = trial?.state === 'trying' && sameDeployment(trial.deployment, first) ? trial.boots.length : 0;
  if (loader?.tried === 'fallback' && loader.left === 0) {
    const reason =
      boots === 0
        ? 'it never came up: the boot loader gave it all its tries'
        : `the boot loader gave it all its tries; ${neverFinished(facts, boots)}`;
    return fail(facts, first, { reason });
  }
  if (boots >= facts.tries) return fail(facts, first, { reason: neverFinished(facts, boots) });
  return null;
}

/** Notes that a deployment failed: the first step of every way back. */
export function fail(facts: Facts, deployment: Candidate, failure: Failure): Step {
  const { os, checksum, serial, version } = deployment;
  return {
    do: 'note',
    trial: { state: 'failed', deployment: { os, checksum, serial }, version, failure, at: facts.boot.at },
  };
}

/**
 * The way back from a failed deployment, one step at a time: marked bad, no longer first, gone back noted, rebooted.
 * Lost power after any of them, the next boot finds `failed` noted and goes on at the first that is not done.
 */
function goBack(facts: Facts, trial: TrialRecord & { state: 'failed' }, failed: Candidate): Step {
  const { booted } = facts;
  const [first] = facts.deployments;
  const { deployment, version, failure } = trial;
  const target = rollbackTarget(facts, failed);
  // Where the same commit runs well with other arguments or another /etc, it is not to blame. And of the only one there
  // is a mark would keep nothing away: it may be well in another boot.
  const same = facts.deployments.some((one) => one.proven && one.checksum === failed.checksum);
  const blameless = same || facts.deployments.length === 1;
  if (!failed.bad && !blameless) return { do: 'mark-bad', deployment: failed, failure, to: target };
  // The guard against loops: only ever away from what is marked bad, to what is not.
  if (target === null) return { do: 'note', trial: { state: 'stranded', deployment, version, failure, at: trial.at } };
  const { os, checksum, serial } = target;
  if (!sameDeployment(first ?? null, target)) return { do: 'make-first', deployment: target, why: failure.reason };
  if (!sameDeployment(booted, failed)) return { do: 'forget-trial' };
  const to = { os, checksum, serial };
  return { do: 'note', trial: { state: 'rolled-back', deployment, version, to, bootId: facts.boot.id, failure } };
}

/** What to do with the verdict of what runs; {@link decide} takes over from what this notes. */
export function decideVerdict(facts: Facts, failure: Failure | null): Step {
  const { booted, trial } = facts;
  // The deadline was first: what it began is not undone.
  if (trial?.state === 'failed' && sameDeployment(trial.deployment, booted)) return decide(facts);
  if (failure === null) {
    // Only an administrator takes a mark back.
    if (!booted.proven && !booted.bad) return { do: 'prove', deployment: booted };
    return trial !== null && sameDeployment(trial.deployment, booted) ? { do: 'forget-trial' } : { do: 'rest' };
  }
  // What once ran well is not left for a cable that somebody pulled.
  const settled = booted.proven || booted.bad || trial?.state === 'stranded' || trial?.state === 'rolled-back';
  return settled ? { do: 'stay', why: failure.reason } : fail(facts, booted, failure);
}
