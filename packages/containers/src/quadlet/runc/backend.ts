import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import type { ContainerBackend, ContainerState, ContainerSummary } from '../../backends/backend.ts';
import type { Services } from '../../lifecycle/index.ts';
import { confinementOf } from '../../system/confinement.ts';
import { userInRoot } from '../../system/process-user.ts';
import {
  commandLine,
  execWords,
  journalWords,
  type RuntimeCall,
  runtimeProcesses,
  runtimeState,
} from '../../system/runtime-commands.ts';
import { parseRuntimeSpec, type RuntimeSpec } from '../../system/runtime-spec.ts';
import { bundleFolder } from './bundle.ts';
import { type BundleFacts, readBundleFacts } from './facts.ts';
import { RUNTIME_STATE } from './request.ts';

const STATES: Readonly<Record<string, ContainerState>> = {
  creating: 'created',
  created: 'created',
  running: 'running',
  paused: 'paused',
  stopped: 'exited',
};

const callOf = ({ runtime }: BundleFacts): RuntimeCall => ({ program: runtime, options: ['--root', RUNTIME_STATE] });

/** Containers of quadlets that no engine runs; like podman's they are there from the start of their unit to its end. */
export function quadletBackend({ state, services }: { state: string; services: Services }): ContainerBackend {
  const need = (container: string): { folder: string; facts: BundleFacts } => {
    const folder = bundleFolder(state, container);
    const facts = readBundleFacts(folder);
    if (facts === null) throw new AtomicError('not-found', `there is no quadlet container '${container}' now`);
    return { folder, facts };
  };
  const specOf = (container: string): RuntimeSpec => {
    const path = join(need(container).folder, 'config.json');
    return parseRuntimeSpec(JSON.parse(readFileSync(path, 'utf8')), path);
  };
  const unitOf = (container: string): string => {
    const { unit } = need(container).facts;
    if (unit !== null) return unit;
    throw new AtomicError('unsupported', `no unit is known that runs ${container}`);
  };
  const summary = async (container: string): Promise<ContainerSummary[]> => {
    const facts = readBundleFacts(bundleFolder(state, container));
    if (facts === null) return [];
    const there = await runtimeState(callOf(facts), container);
    return [
      {
        id: container,
        name: container,
        image: facts.image,
        imageId: facts.digest,
        command: commandLine(specOf(container)),
        created: facts.created,
        // What a power cut left is there until the unit starts again.
        state: there === null ? 'exited' : (STATES[there.status] ?? 'unknown'),
        backend: 'quadlet',
        runtime: basename(facts.runtime),
      },
    ];
  };
  return {
    name: 'quadlet',
    list: async () => {
      const folder = join(state, 'quadlets');
      const names = existsSync(folder) ? readdirSync(folder) : [];
      return (await Promise.all(names.map(summary))).flat();
    },
    start: async (container, options) => await services.start([unitOf(container)], { signal: options?.signal }),
    stop: async (container) => await services.stop([unitOf(container)]),
    delete: async (container) => {
      const { unit } = need(container).facts;
      throw new AtomicError('unsupported', `${container} goes when its unit stops`, {
        hint: `stop it: systemctl stop ${unit ?? 'UNIT'}; for good: atomic quadlet rm`,
      });
    },
    logsCommand: async (container, options) => journalWords([unitOf(container)], options),
    execCommand: async (container, argv, { user, ...options }) => {
      const { folder, facts } = need(container);
      const as = user === undefined ? undefined : userInRoot(user, join(folder, 'rootfs'));
      return execWords(callOf(facts), specOf(container), container, argv, { ...options, user: as });
    },
    processes: async (container, columns) => {
      const { hostProcesses } = await import('../../engines/host-processes.ts');
      return await hostProcesses(await runtimeProcesses(callOf(need(container).facts), container), columns);
    },
    inspect: async (container) => {
      const { folder, facts } = need(container);
      return { ...facts, folder, config: specOf(container) };
    },
    confinement: async (container) => confinementOf(specOf(container)),
    rootFolder: async (container) => join(need(container).folder, 'rootfs'),
  };
}
