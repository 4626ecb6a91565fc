import { existsSync } from 'node:fs';
import { parseRefspec } from '@atomic/ostree';
import type { Deployment } from '../deployment.ts';
import { originRefspec } from '../origin.ts';
import type { Sysroot } from '../sysroot.ts';
import { fieldsOf, listOf, readJson, stateFolder, textOf, writeJson } from './files.ts';
import type { CheckedMachine } from './machine.ts';
import { runningServices } from './units.ts';

/** What was up before a switch, and so has to be up after it. */
export interface Baseline {
  at: string;
  /** Services that ran because the boot starts them. */
  units: string[];
  /** The remote whose server answered. */
  server: string | null;
  /** Container engines that answered. */
  engines: Engine[];
}

const ENGINES = ['docker', 'podman'] as const;
export type Engine = (typeof ENGINES)[number];

const DOCKER_SOCKET = '/run/docker.sock';
const PODMAN = '/usr/bin/podman';

/** The remote that a deployment gets its upgrades from; null when it follows none. */
export function updateRemote(deployment: Pick<Deployment, 'origin'>): string | null {
  const refspec = originRefspec(deployment.origin);
  return refspec === undefined ? null : parseRefspec(refspec).remote;
}

/** Whether the tree has a container engine; one that was taken out of it need not answer. */
export const hasEngine = (root: string, engine: Engine): boolean =>
  existsSync(`${root}${engine === 'docker' ? '/usr/lib/systemd/system/docker.service' : PODMAN}`);

/** Whether a container engine is at work. */
export async function engineAnswers(machine: CheckedMachine, engine: Engine, seconds: number): Promise<boolean> {
  if (engine === 'docker') return await machine.ping(DOCKER_SOCKET, seconds);
  const ran = await machine.run(PODMAN, ['ps', '--quiet'], { seconds });
  return ran.kind === 'exited' && ran.code === 0;
}

/** What a probe may take before it counts as no answer. */
const PATIENCE = 15;

const path = (sysroot: Sysroot, os: string) => `${stateFolder(sysroot, os)}/health/baseline.json`;

/** Looks at what is up and keeps it: after a good boot, and again at the shutdown that switches. */
export async function recordBaseline(sysroot: Sysroot, booted: Deployment, machine: CheckedMachine): Promise<Baseline> {
  const remote = updateRemote(booted);
  const [units, reached, docker, podman] = await Promise.all([
    runningServices(machine),
    remote === null
      ? false
      : machine.reach(sysroot.repo, remote, PATIENCE).then(
          () => true,
          () => false,
        ),
    existsSync(DOCKER_SOCKET) ? engineAnswers(machine, 'docker', PATIENCE) : false,
    existsSync(PODMAN) ? engineAnswers(machine, 'podman', PATIENCE) : false,
  ]);
  const engines = ENGINES.filter((engine) => (engine === 'docker' ? docker : podman));
  const baseline = { at: machine.now().toISOString(), units, server: reached ? remote : null, engines };
  writeJson(path(sysroot, booted.os), baseline);
  return baseline;
}

/** What was kept; null when nothing was, or it cannot be read: then nothing is known to have been up. */
export function readBaseline(sysroot: Sysroot, os: string): Baseline | null {
  const stored = readJson(path(sysroot, os), (value): Baseline | null => {
    const fields = fieldsOf(value);
    const units = listOf(fields?.get('units'), textOf);
    const engines = listOf(fields?.get('engines'), (item) => ENGINES.find((name) => name === item) ?? null);
    if (fields === null || units === null || engines === null) return null;
    return { at: textOf(fields.get('at')) ?? '', units, server: textOf(fields.get('server')), engines };
  });
  return stored.kind === 'there' ? stored.value : null;
}
