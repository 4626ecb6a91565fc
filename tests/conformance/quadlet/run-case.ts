import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runGenerator, searchFolders, UnitFile, writeUnits } from '@atomic/containers';
import { holds } from './assertions.ts';
import { type Case, fixtures } from './cases.ts';

/** Makes units of the sources in a folder. */
export type Generator = (sources: string, output: string) => { status: number; stderr: string };

export const OURS: Generator = (sources, output) => {
  const run = runGenerator({ folders: searchFolders({ kind: 'folders', folders: [sources] }) });
  writeUnits(run, output, 'atomic');
  return { status: run.failed ? 1 : 0, stderr: run.messages.join('\n') };
};

export const stock =
  (program: string): Generator =>
  (sources, output) => {
    const run = spawnSync(program, ['-no-kmsg-log', output], {
      encoding: 'utf8',
      env: { QUADLET_UNIT_DIRS: sources },
    });
    return { status: run.status ?? 1, stderr: run.stderr };
  };

/** Lays out a case's sources in a folder named as the suite's assertions expect it. */
export function layOut(source: string, { file, beside }: Case, scratch: string): { sources: string; output: string } {
  const home = join(scratch, 'podman-e2e-1/subtest-1');
  const sources = join(home, 'quadlet');
  const output = join(home, 'generated');
  mkdirSync(sources, { recursive: true });
  mkdirSync(output, { recursive: true });
  const template = file.replace(/@.+(\.[^.]+)$/, '@$1');
  for (const name of [file, ...beside, `${file}.d`, `${template}.d`]) {
    const path = join(fixtures(source), name);
    if (existsSync(path)) cpSync(path, join(sources, name), { recursive: true });
  }
  return { sources, output };
}

export interface CaseResult {
  passed: number;
  /** Assertions that do not hold; the status, the message and that a unit is there count as one each. */
  failed: string[];
}

/** Runs one case and checks all that its file and its table say. */
export function runCase(source: string, one: Case, generator: Generator, scratch: string): CaseResult {
  const { sources, output } = layOut(source, one, scratch);
  const { status, stderr } = generator(sources, output);
  const path = join(output, `${one.service}.service`);
  const unit = existsSync(path)
    ? UnitFile.parse(readFileSync(path, 'utf8'), `${one.service}.service`, path)
    : undefined;
  const expectFailure = one.assertions.some(([verb]) => verb === 'assert-failed');
  const result: CaseResult = { passed: 0, failed: [] };
  const count = (ok: boolean, what: string): void => {
    if (ok) result.passed++;
    else result.failed.push(what);
  };
  count(status === one.status, `status ${one.status} (is ${status}: ${stderr.trim()})`);
  if (one.says !== '') count(stderr.includes(one.says), `says ${one.says} (says ${stderr.trim()})`);
  if (!expectFailure)
    count(unit !== undefined, `makes ${one.service}.service (makes ${readdirSync(output).join(', ')})`);
  for (const assertion of one.assertions) {
    count(holds(assertion, { folder: output, unit, stderr }), assertion.join(' '));
  }
  return result;
}
