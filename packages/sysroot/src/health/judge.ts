import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { AtomicError, type BeginOptions, replaceFile } from '@atomic/ostree';
import { endTrial, readTrial } from '../bootloader/trial.ts';
import { type Deployment, type SysrootState, sameDeployment } from '../deployment.ts';
import { noteHistory } from '../history.ts';
import { writeStuckMotd } from '../layers/stuck.ts';
import { type DeploymentId, deploymentName } from '../layout.ts';
import type { Sysroot } from '../sysroot.ts';
import { writeDeployments } from '../write-deployments.ts';
import { loadBadCommits, markBad } from './bad-commits.ts';
import { readBaseline, recordBaseline } from './baseline.ts';
import { failureOf, runChecks } from './checks.ts';
import { type HealthConfig, readHealthConfig } from './config.ts';
import { type Candidate, decide, decideVerdict, type Facts, fail, rollbackTarget, type Step } from './decide.ts';
import type { Stored } from './files.ts';
import { type CheckedMachine, thisMachine } from './machine.ts';
import { writeHealthMotd } from './motd.ts';
import { lastWords, pstoreRecords } from './pstore.ts';
import {
  type BootMark,
  type BootResult,
  type CheckResult,
  type Failure,
  HealthRecords,
  isProven,
  type Proven,
} from './records.ts';
import { healthReport } from './report.ts';
import { findScripts, runScript } from './scripts.ts';

export interface HealthOptions extends BeginOptions {
  machine?: CheckedMachine | undefined;
  /** Told, a line each, what is done and why. */
  log?: ((line: string) => void) | undefined;
}

/** A running system while it is judged. */
interface Court {
  sysroot: Sysroot;
  machine: CheckedMachine;
  options: HealthOptions;
  booted: Deployment;
  records: HealthRecords;
  boot: BootMark;
  config: HealthConfig;
  problems: string[];
}

/** Where the running system is: an empty string for `/`, to put paths after. */
const rootOf = (sysroot: Sysroot): string => (sysroot.root === '/' ? '' : sysroot.root);
/** Tells the unit of the deadline how long it has; there only while something is on trial. */
const deadlineFile = (sysroot: Sysroot): string => `${sysroot.run}/atomic/health/deadline`;

function convene(sysroot: Sysroot, options: HealthOptions): Court | null {
  const { booted } = sysroot.load();
  if (booted === null) return null;
  const machine = options.machine ?? thisMachine;
  const records = new HealthRecords(sysroot, booted.os);
  const boot = { id: machine.bootId(), at: machine.now().toISOString() };
  return { sysroot, machine, options, booted, records, boot, ...readHealthConfig(rootOf(sysroot)) };
}

/** Reads everything from the disk again: after a step, or a power cut, only that counts. */
function gather(court: Court): { facts: Facts; state: SysrootState } {
  const { sysroot, records, boot, config } = court;
  const state = sysroot.load();
  const { booted } = state;
  if (booted === null) throw new AtomicError('invalid', `${sysroot.path} is not what runs`);
  const stored = records.trial();
  const trial = stored.kind === 'there' ? stored.value : null;
  const counted = readTrial(sysroot, state);
  // Each system has records of its own, and a machine can be switched from one to another.
  const known = new Map<string, { bad: ReadonlyMap<string, unknown>; proven: Stored<Proven> }>();
  const candidate = (deployment: Deployment): Candidate => {
    const { os, checksum, serial, version } = deployment;
    const of = known.get(os) ?? {
      bad: loadBadCommits(sysroot, os),
      proven: new HealthRecords(sysroot, os).proven(),
    };
    known.set(os, of);
    // A list that cannot be read condemns nobody: only what is known to be on trial is.
    const unread = of.proven.kind === 'broken' && deployment.booted && trial === null && counted === null;
    return {
      os,
      checksum,
      serial,
      version,
      proven: unread || isProven(of.proven, deployment),
      bad: of.bad.has(checksum),
    };
  };
  const deployments = state.deployments.filter(({ staged }) => !staged).map(candidate);
  const byName = deployments[0]?.proven === true ? null : usedUpByName(state);
  const loader = counted === null ? byName : { tried: counted.tried, left: counted.left };
  return { state, facts: { boot, booted: candidate(booted), deployments, trial, loader, tries: config.tries } };
}

/**
 * What the name of the first entry says where a boot loader counts by renaming (`+0-3`, systemd's boot assessment): its
 * tries are used up, and another entry was taken. Names of good boots are made plain by systemd-bless-boot.
 */
function usedUpByName({ deployments }: SysrootState): Facts['loader'] {
  const first = deployments.find(({ staged }) => !staged);
  if (first === undefined || first.booted || first.tries === null) return null;
  return first.tries.left === 0 && first.tries.done > 0 ? { tried: 'fallback', left: 0 } : null;
}

/** Puts a deployment first in the boot order; what is staged is dropped with it. */
async function makeFirst(sysroot: Sysroot, id: DeploymentId, why: string, options: BeginOptions): Promise<void> {
  using _lock = await sysroot.lock(options);
  const state = sysroot.load();
  const written = state.deployments.filter(({ staged }) => !staged);
  const target = written.find((one) => sameDeployment(one, id));
  if (target === undefined) throw new AtomicError('not-found', `deployment ${deploymentName(id)} is gone`);
  const list = [target, ...written.filter((one) => one !== target)];
  await writeDeployments(sysroot, state, list, { ...options, cleanup: 'none' });
  noteHistory(sysroot, target, 'rollback', why);
}

/** Does one step. Each may be done again: a power cut comes before or after it, or makes the next boot repeat it. */
async function perform(court: Court, step: Step): Promise<void> {
  const { sysroot, machine, records, options } = court;
  const say = options.log ?? (() => {});
  switch (step.do) {
    case 'note': {
      const { trial } = step;
      if (trial.state !== 'failed') return records.setTrial(trial);
      const proven = records.proven();
      const seen = proven.kind === 'there' ? proven.value.pstore : [];
      const words = trial.failure.lastWords ?? lastWords(rootOf(sysroot), seen);
      const name = trial.version ?? deploymentName(trial.deployment);
      say(`${name} failed: ${trial.failure.reason}`);
      return records.setTrial({ ...trial, failure: { ...trial.failure, lastWords: words } });
    }
    case 'forget-trial':
      return records.setTrial(null);
    case 'end-counting':
      return endTrial(sysroot);
    case 'mark-bad': {
      const { deployment, failure, to } = step;
      const { checksum, version } = deployment;
      const when = machine.now().toISOString();
      const bad = { ...failure, checksum, version, when, by: 'health' as const, rolledBackTo: to?.checksum };
      say(`${version ?? checksum} is marked bad: it will not be taken again by itself`);
      // A layered commit is this machine's own: updates go by what it was made from. First, for the other one ends this step.
      const { base } = sysroot.commitFacts(checksum);
      const good = to === null ? null : sysroot.commitFacts(to.checksum).base;
      if (base !== checksum && base !== good)
        await markBad(sysroot, deployment.os, { ...bad, checksum: base }, options);
      return await markBad(sysroot, deployment.os, bad, options);
    }
    case 'make-first':
      say(`going back to ${step.deployment.version ?? deploymentName(step.deployment)}`);
      return await makeFirst(sysroot, step.deployment, step.why, options);
    case 'prove': {
      const stored = records.proven();
      const before = stored.kind === 'there' ? stored.value.deployments : [];
      const there = new Set(sysroot.load().deployments.map(deploymentName));
      const name = deploymentName(step.deployment);
      const deployments = [...before.filter((one) => one !== name && there.has(one)), name];
      say(`${step.deployment.version ?? name} is good`);
      return records.setProven({ deployments, pstore: pstoreRecords(rootOf(sysroot)) });
    }
    case 'reboot':
      say('rebooting');
      return await sysroot.system.reboot();
    case 'stay':
      return say(step.why);
    case 'check':
    case 'rest':
  }
}

/** No way back has more steps; more of them would be a mistake of ours, and the machine is left running. */
const MOST_STEPS = 12;

/** Decides and does until there is nothing more to be done now. Returns the step it ended with. */
async function settle(court: Court, first: Step): Promise<Step> {
  let step = first;
  for (let count = 0; count < MOST_STEPS; count++) {
    await perform(court, step);
    if (step.do === 'reboot' || step.do === 'stay' || step.do === 'check' || step.do === 'rest') return step;
    step = decide(gather(court).facts);
  }
  throw new AtomicError('failed', `the state of health does not come to rest (at '${step.do}')`, {
    hint: `look into ${court.records.folder}`,
  });
}

function finish(court: Court): void {
  writeHealthMotd(court.sysroot.run, healthReport(court.sysroot));
  writeStuckMotd(court.sysroot);
}

/**
 * Run early in every boot: counts it where what runs is on trial, finishes a way back that power was lost on, and finds
 * out that a new version never came up. Returns what that came to; null when this is no running system.
 */
export async function healthBegin(sysroot: Sysroot, options: HealthOptions = {}): Promise<Step | null> {
  const court = convene(sysroot, options);
  if (court === null) return null;
  const step = await settle(court, decide(gather(court).facts));
  const { facts } = gather(court);
  // With nothing to go back to, a slow first boot is nothing but slow.
  if (step.do === 'check' && facts.trial?.state === 'trying' && rollbackTarget(facts, facts.booted) !== null) {
    const path = deadlineFile(sysroot);
    mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true, mode: 0o755 });
    const began = court.machine.clock();
    replaceFile(path, `DEADLINE=${court.config.deadlineSeconds}\nBEGAN=${began}\n`, { mode: 0o644, sync: false });
  }
  finish(court);
  return step;
}

/** Seconds that the checks have: those of the deadline that the boot has not used up. */
function secondsLeft(court: Court): number {
  const { deadlineSeconds } = court.config;
  let began: number | undefined;
  try {
    began = Number(/^BEGAN=([\d.]+)$/m.exec(readFileSync(deadlineFile(court.sysroot), 'utf8'))?.[1]);
  } catch {
    began = undefined; // nothing is on trial
  }
  const used = began === undefined || Number.isNaN(began) ? 0 : court.machine.clock() - began;
  // A margin, so that our verdict with its reasons comes before the deadline's without any.
  return Math.max(5, Math.min(deadlineSeconds, deadlineSeconds - used - 15));
}

/** Runs the checks and changes nothing (`atomic host health check`). Throws `invalid` when this is no running system. */
export async function checkNow(sysroot: Sysroot, options: HealthOptions = {}): Promise<BootResult> {
  const court = convene(sysroot, options);
  if (court === null)
    throw new AtomicError('invalid', `${sysroot.path} is not what runs: its health cannot be checked`);
  return await check(court);
}

async function check(court: Court): Promise<BootResult> {
  const { sysroot, machine, booted, config, problems, boot } = court;
  const baseline = readBaseline(sysroot, booted.os);
  const plan = { config, problems, baseline, root: rootOf(sysroot), repo: sysroot.repo, seconds: secondsLeft(court) };
  const checks = [...(await runChecks(machine, plan)), ...(await updatesCheck(sysroot, booted.os))];
  const { os, checksum, serial, version } = booted;
  const verdict = failureOf(checks) === null ? 'green' : 'red';
  return { bootId: boot.id, deployment: { os, checksum, serial }, version, at: boot.at, verdict, checks };
}

/** Whether the server of updates was looked at lately, where that is to happen by itself. */
async function updatesCheck(sysroot: Sysroot, os: string): Promise<CheckResult[]> {
  const { lastCheckHealth } = await import('../updates/report.ts');
  const found = lastCheckHealth(sysroot, os);
  if (found === null) return [];
  return [{ name: found.name, required: false, state: found.state, seconds: 0, output: found.message }];
}

/**
 * Judges this boot, run once it is complete: checks, keeps the result, and proves what runs or goes back from it.
 * Returns the result, and what that came to (`reboot` is under way then); null when this is no running system.
 */
export async function judgeBoot(
  sysroot: Sysroot,
  options: HealthOptions = {},
): Promise<{ result: BootResult; step: Step } | null> {
  const court = convene(sysroot, options);
  if (court === null) return null;
  const before = await settle(court, decide(gather(court).facts));
  const result = await check(court);
  court.records.addResult(result);
  if (before.do === 'reboot') return { result, step: before };
  const failure = failureOf(result.checks);
  await runAfter(court, failure === null ? 'green.d' : 'red.d');
  const step = await settle(court, decideVerdict(gather(court).facts, failure));
  // What is up now is what the next version is measured by.
  if (failure === null) await recordBaseline(sysroot, court.booted, court.machine);
  await endDeadline(court);
  finish(court);
  return { result, step };
}

/** greenboot's scripts for after the verdict; nothing depends on how they end. */
async function runAfter(court: Court, folder: 'green.d' | 'red.d'): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const path of findScripts(rootOf(court.sysroot), folder)) {
    const name = `${folder}/${path.slice(path.lastIndexOf('/') + 1)}`;
    results.push(await runScript(court.machine, { path, name, required: false }, court.config.scriptSeconds));
  }
  return results;
}

async function endDeadline(court: Court): Promise<void> {
  rmSync(deadlineFile(court.sysroot), { force: true });
  await court.machine.run('systemctl', ['stop', '--no-block', 'atomic-health-deadline.service'], { seconds: 20 });
}

/**
 * Run when the deadline passed without a verdict: what is on trial failed, and what it was waiting for is the reason.
 * Returns what that came to; null when this is no running system.
 */
export async function healthExpire(sysroot: Sysroot, options: HealthOptions = {}): Promise<Step | null> {
  const court = convene(sysroot, options);
  if (court === null) return null;
  const { facts } = gather(court);
  const trying = facts.trial?.state === 'trying' && sameDeployment(facts.trial.deployment, facts.booted);
  if (facts.booted.proven || !trying) return await settle(court, decide(facts));
  const failure: Failure = {
    reason: `no verdict within ${court.config.deadlineSeconds} s of the boot`,
    output: await whatHangs(court.machine),
  };
  const step = await settle(court, fail(facts, facts.booted, failure));
  finish(court);
  return step;
}

/** What systemd waits for, and what failed. */
async function whatHangs(machine: CheckedMachine): Promise<string> {
  const ask = async (...args: string[]) => {
    const ran = await machine.run('systemctl', [...args, '--no-pager', '--no-legend', '--plain'], { seconds: 20 });
    return ran.kind === 'exited' ? ran.output : '';
  };
  const jobs = await ask('list-jobs');
  const failed = await ask('list-units', '--state=failed');
  return [jobs === '' ? '' : `waiting for:\n${jobs}`, failed === '' ? '' : `failed:\n${failed}`].join('\n').trim();
}

/** Keeps what is up now; run at a shutdown that switches, before anything is stopped. False: no running system. */
export async function recordHealth(sysroot: Sysroot, options: HealthOptions = {}): Promise<boolean> {
  const court = convene(sysroot, options);
  if (court === null) return false;
  await recordBaseline(sysroot, court.booted, court.machine);
  return true;
}
