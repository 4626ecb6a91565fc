import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import type {
  Confinement,
  ContainerBackend,
  ContainerState,
  ContainerSummary,
  UpdateReport,
} from '../backends/backend.ts';
import type { Changed, Deployed, Services } from '../lifecycle/index.ts';
import { confinementOf } from './confinement.ts';
import { userInRoot } from './process-user.ts';
import { commandLine, execWords, journalWords, type RuntimeCall, runtimeProcesses } from './runtime-commands.ts';
import { parseRuntimeSpec, type RuntimeSpec } from './runtime-spec.ts';
import { parseDetails } from './stage.ts';
import type { SystemContainers } from './system.ts';

/** System containers (or a user's) as one of the backends of the container verbs. */
export function systemBackend(containers: SystemContainers, services: Services): ContainerBackend {
  const user = containers.host.user !== null;
  const name = user ? 'user' : 'system';

  const specOf = (container: string): RuntimeSpec => {
    const path = join(containers.need(container).folder, 'config.json');
    return parseRuntimeSpec(JSON.parse(readFileSync(path, 'utf8')), path);
  };

  const rootOf = (container: string): string => join(containers.need(container).folder, 'rootfs');

  const runtimeOf = (container: string): RuntimeCall => ({
    program: containers.need(container).details.runtime,
    options: [],
  });

  const summary = async (there: Deployed): Promise<ContainerSummary> => {
    const { record } = there;
    const details = record === null ? null : parseDetails(record.details);
    const empty = { id: there.name, name: there.name, backend: name };
    if (record === null || details === null) {
      return { ...empty, image: '', imageId: '', command: '', created: '', state: 'unknown', runtime: '' };
    }
    const runtime = details.runtime.slice(details.runtime.lastIndexOf('/') + 1);
    let command = '';
    try {
      command = commandLine(specOf(there.name));
    } catch {
      // What is broken is listed all the same.
    }
    const state = await stateOf(
      record.units.map((unit) => unit.name),
      services,
    );
    const { image } = details;
    return { ...empty, image: image.name, imageId: image.digest, command, created: record.created, state, runtime };
  };

  const isRunning = async (container: string): Promise<boolean> => {
    const { record } = containers.need(container);
    return (
      (await stateOf(
        record.units.map((unit) => unit.name),
        services,
      )) === 'running'
    );
  };

  return {
    name,
    list: async () => await Promise.all(containers.list().map(summary)),
    start: async (container, options) => {
      containers.need(container);
      await containers.lifecycle.run(container, 'start', { signal: options?.signal });
    },
    stop: async (container, options) => {
      containers.need(container);
      await containers.lifecycle.run(container, 'stop', { signal: options?.signal });
    },
    delete: async (container, options) => {
      const there = containers.lifecycle.find(container);
      if (there?.record != null && options?.force !== true && (await isRunning(container))) {
        throw new AtomicError('failed', `${container} is running`, {
          hint: `stop it: atomic stop ${container}; or add --force`,
        });
      }
      await containers.uninstall(container, { signal: options?.signal });
    },
    logsCommand: async (container, options) => {
      const units = containers.need(container).record.units.map((unit) => unit.name);
      return journalWords(units, options, user ? '--user-unit' : '--unit');
    },
    execCommand: async (container, argv, { user: wanted, ...options }) => {
      const as = wanted === undefined ? undefined : userInRoot(wanted, rootOf(container));
      return execWords(runtimeOf(container), specOf(container), container, argv, { ...options, user: as });
    },
    processes: async (container, columns) => {
      const { hostProcesses } = await import('../engines/host-processes.ts');
      return await hostProcesses(await runtimeProcesses(runtimeOf(container), container), columns);
    },
    inspect: async (container) => {
      const { record, details, folder } = containers.need(container);
      const there = containers.lifecycle.find(container);
      return {
        ...record,
        details,
        folder,
        deployments: there?.deployments.map(({ id, record, why }) => ({
          id,
          active: id === there.active,
          created: record?.created ?? null,
          image: record?.title ?? null,
          damaged: why,
        })),
        history: containers.lifecycle.history(container),
      };
    },
    confinement: async (container): Promise<Confinement[]> => confinementOf(specOf(container)),
    rootFolder: async (container) => rootOf(container),
    update: async (container, options) =>
      reportOf(await containers.update(container, options), 'Latest version already installed.'),
    rollback: async (container, options) => reportOf(await containers.rollback(container, options ?? {}), ''),
  };
}

/** What a change was, for people. */
export function reportOf({ outcome, name, from, to, notes }: Changed, unchanged: string): UpdateReport {
  const id = (number: number | null): string | undefined => (number === null ? undefined : `${name}.${number}`);
  // One that was left as it is says why.
  const lines = [
    outcome === 'unchanged' ? (notes.length > 0 ? 'left as it is' : unchanged) : `${id(to) ?? 'nothing'} is in use`,
    ...notes,
  ];
  return { name, changed: outcome === 'done', before: id(from), after: id(to), message: lines.join('\n') };
}

async function stateOf(units: readonly string[], services: Services): Promise<ContainerState> {
  if (units.length === 0) return 'created';
  const states = (await services.states(units)).map(({ active, sub }) => (sub === 'auto-restart' ? sub : active));
  if (states.includes('failed')) return 'failed';
  if (states.includes('auto-restart')) return 'restarting';
  if (states.every((state) => state === 'active' || state === 'reloading')) return 'running';
  return states.includes('activating') ? 'restarting' : 'exited';
}

/** A command line that runs something, and how to tidy up after it. */
export interface ThrowAway extends Disposable {
  command: string[];
}

/**
 * What runs a command in a container: inside it where it runs, else in one of its own made of the same tree and
 * settings, which is gone afterwards. Without words that is what the container itself runs.
 */
export async function runInside(
  containers: SystemContainers,
  services: Services,
  container: string,
  argv: readonly string[],
  { tty }: { tty: boolean },
): Promise<ThrowAway> {
  const { record, details, folder } = containers.need(container);
  const path = join(folder, 'config.json');
  const spec = parseRuntimeSpec(JSON.parse(readFileSync(path, 'utf8')), path);
  const units = record.units.map((unit) => unit.name);
  if ((await stateOf(units, services)) === 'running') {
    const command = execWords({ program: details.runtime, options: [] }, spec, container, argv, { tty });
    return { command, [Symbol.dispose]: () => {} };
  }
  if (argv.length > 0) spec.process.args = [...argv];
  spec.process.terminal = tty;
  // Its profile is loaded by its unit only.
  if (spec.process.apparmorProfile?.startsWith('atomic-')) delete spec.process.apparmorProfile;
  const id = `${container}-run-${process.pid}`;
  const bundle = join(containers.scratch(), id);
  mkdirSync(bundle, { recursive: true, mode: 0o700 });
  const config = { ...spec, root: { ...spec.root, path: join(folder, 'rootfs') } };
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
  return {
    command: [details.runtime, 'run', '--bundle', bundle, id],
    [Symbol.dispose]: () => rmSync(bundle, { recursive: true, force: true }),
  };
}
