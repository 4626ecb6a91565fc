import { readdirSync, rmSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import { isChecksum } from '@atomic/ostree';
import { type DeploymentId, deploymentName, parseDeploymentName } from '../layout.ts';
import type { Sysroot } from '../sysroot.ts';
import { fieldsOf, listOf, readJson, type Stored, stateFolder, textOf, writeJson } from './files.ts';

/** Why a version failed. */
export interface Failure {
  /** One line. */
  reason: string;
  /** What the failed check printed, bounded. */
  output?: string | undefined;
  /** The kernel's last words. */
  lastWords?: string | undefined;
}

/** One boot of a deployment on trial. */
export interface BootMark {
  /** The kernel's boot_id: a boot is counted once, however often it is looked at. */
  id: string;
  /** ISO 8601, for people; nothing is decided by clocks. */
  at: string;
}

/**
 * What a system's new deployment has come to, as health/trial.json says it; without that file nothing is on trial.
 * Each step of going back is noted before it is done, so a power cut repeats a step and never leaves one out.
 */
export type TrialRecord =
  | { state: 'trying'; deployment: DeploymentId; version?: string | undefined; boots: BootMark[] }
  | { state: 'failed'; deployment: DeploymentId; version?: string | undefined; failure: Failure; at: string }
  | {
      state: 'rolled-back';
      deployment: DeploymentId;
      version?: string | undefined;
      to: DeploymentId;
      /** The boot in which it was decided: only in that one the machine reboots by itself. */
      bootId: string;
      failure: Failure;
    }
  | { state: 'stranded'; deployment: DeploymentId; version?: string | undefined; failure: Failure; at: string };

/** One check and what came of it. */
export interface CheckResult {
  /** Such as `unit ssh.service`, `script required.d/10-disk.sh`. */
  name: string;
  /** Whether a failure makes the boot bad. */
  required: boolean;
  state: 'ok' | 'failed' | 'timed-out' | 'skipped';
  seconds: number;
  /** What it printed, or what was found; bounded. */
  output: string;
}

/** What the checks of one boot came to. */
export interface BootResult {
  bootId: string;
  deployment: DeploymentId;
  version?: string | undefined;
  at: string;
  verdict: 'green' | 'red';
  checks: CheckResult[];
}

/** What has proved itself on this disk. */
export interface Proven {
  /** Names of deployments (`CHECKSUM.SERIAL`). */
  deployments: string[];
  /** What lay in pstore when the last good boot was judged: newer than that is of a bad one. */
  pstore: string[];
}

const optional = (value: unknown): string | undefined => textOf(value) ?? undefined;

function parseId(value: unknown): DeploymentId | null {
  const fields = fieldsOf(value);
  const os = textOf(fields?.get('os'));
  const checksum = textOf(fields?.get('checksum'));
  const serial = fields?.get('serial');
  if (os === null || checksum === null || !isChecksum(checksum) || !Number.isSafeInteger(serial)) return null;
  return { os, checksum, serial: Number(serial) };
}

function parseFailure(value: unknown): Failure | null {
  const fields = fieldsOf(value);
  const reason = textOf(fields?.get('reason'));
  if (reason === null) return null;
  return { reason, output: optional(fields?.get('output')), lastWords: optional(fields?.get('lastWords')) };
}

function parseMark(value: unknown): BootMark | null {
  const fields = fieldsOf(value);
  const id = textOf(fields?.get('id'));
  return id === null ? null : { id, at: textOf(fields?.get('at')) ?? '' };
}

export function parseTrial(value: unknown): TrialRecord | null {
  const fields = fieldsOf(value);
  const deployment = parseId(fields?.get('deployment'));
  if (fields === null || deployment === null) return null;
  const version = optional(fields.get('version'));
  const state = fields.get('state');
  if (state === 'trying') {
    const boots = listOf(fields.get('boots'), parseMark);
    return boots === null ? null : { state, deployment, version, boots };
  }
  const failure = parseFailure(fields.get('failure'));
  if (failure === null) return null;
  if (state === 'rolled-back') {
    const to = parseId(fields.get('to'));
    const bootId = textOf(fields.get('bootId'));
    return to === null || bootId === null ? null : { state, deployment, version, to, bootId, failure };
  }
  if (state !== 'failed' && state !== 'stranded') return null;
  return { state, deployment, version, failure, at: textOf(fields.get('at')) ?? '' };
}

function parseProven(value: unknown): Proven | null {
  const fields = fieldsOf(value);
  const deployments = listOf(fields?.get('deployments'), textOf);
  const pstore = listOf(fields?.get('pstore') ?? [], textOf);
  if (deployments === null || pstore === null || deployments.some((name) => parseDeploymentName(name) === null)) {
    return null;
  }
  return { deployments, pstore };
}

function parseCheck(value: unknown): CheckResult | null {
  const fields = fieldsOf(value);
  const name = textOf(fields?.get('name'));
  const state = (['ok', 'failed', 'timed-out', 'skipped'] as const).find((known) => known === fields?.get('state'));
  if (fields === null || name === null || state === undefined) return null;
  const seconds = fields.get('seconds');
  return {
    name,
    required: fields.get('required') === true,
    state,
    seconds: typeof seconds === 'number' ? seconds : 0,
    output: textOf(fields.get('output')) ?? '',
  };
}

function parseResult(value: unknown): BootResult | null {
  const fields = fieldsOf(value);
  const bootId = textOf(fields?.get('bootId'));
  const deployment = parseId(fields?.get('deployment'));
  const checks = listOf(fields?.get('checks'), parseCheck);
  const verdict = (['green', 'red'] as const).find((known) => known === fields?.get('verdict'));
  if (fields === null || bootId === null || deployment === null || checks === null || verdict === undefined)
    return null;
  const at = textOf(fields.get('at')) ?? '';
  return { bootId, deployment, version: optional(fields.get('version')), at, verdict, checks };
}

/** Boots of which the results are kept. */
const KEPT = 20;
const RESULT = /^boot-(\d{6})-[0-9a-f-]{1,40}\.json$/;

/** The records of one system in /var/lib/atomic/health. Reading never throws for what a file says. */
export class HealthRecords {
  readonly folder: string;

  constructor(sysroot: Sysroot, os: string) {
    this.folder = `${stateFolder(sysroot, os)}/health`;
  }

  trial(): Stored<TrialRecord> {
    return readJson(`${this.folder}/trial.json`, parseTrial);
  }

  /** Null: nothing is on trial any more. */
  setTrial(trial: TrialRecord | null): void {
    if (trial !== null) writeJson(`${this.folder}/trial.json`, trial, this.trial().kind);
    else rmSync(`${this.folder}/trial.json`, { force: true });
  }

  proven(): Stored<Proven> {
    return readJson(`${this.folder}/proven.json`, parseProven);
  }

  setProven(proven: Proven): void {
    writeJson(`${this.folder}/proven.json`, proven, this.proven().kind);
  }

  /** Results of boots, the latest first; broken ones are left out. */
  results(most = KEPT): BootResult[] {
    return this.#resultFiles()
      .slice(0, most)
      .flatMap((name) => {
        const stored = readJson(`${this.folder}/${name}`, parseResult);
        return stored.kind === 'there' ? [stored.value] : [];
      });
  }

  /** Keeps the result of a boot in place of an earlier one of the same boot. Numbered, since clocks jump. */
  addResult(result: BootResult): void {
    const names = this.#resultFiles();
    const same = names.find((name) => name.endsWith(`-${result.bootId}.json`));
    const last = Number(RESULT.exec(names[0] ?? '')?.[1] ?? '0');
    const name = same ?? `boot-${String(last + 1).padStart(6, '0')}-${result.bootId}.json`;
    writeJson(`${this.folder}/${name}`, result);
    for (const old of this.#resultFiles().slice(KEPT)) rmSync(`${this.folder}/${old}`, { force: true });
  }

  #resultFiles(): string[] {
    try {
      return readdirSync(this.folder)
        .filter((name) => RESULT.test(name))
        .sort()
        .reverse();
    } catch (error) {
      if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return [];
      throw error;
    }
  }
}

/** Whether a deployment proved itself. A list that cannot be read says nothing. */
export const isProven = (stored: Stored<Proven>, id: DeploymentId): boolean =>
  stored.kind === 'there' && stored.value.deployments.includes(deploymentName(id));
