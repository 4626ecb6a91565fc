import type { UpdateReport } from '@atomic/containers';
import type { Command } from 'commander';
import type { Context } from '../../context.ts';
import { type Backends, chooseContainers, type FoundContainer, namesOrAll, openBackends } from '../backends.ts';
import { add, collect, containerAction } from '../common.ts';
import { whileLocked } from '../verb.ts';

interface UpdateFlags {
  all?: boolean;
  rebase?: string;
  set: string[];
  storage?: string;
}

/** Adds `atomic containers update`. */
export function register(containers: Command): void {
  add(containers, 'update', 'make containers anew of the newest version of their image; a bad one is taken back', [
    'atomic containers update web',
    'atomic containers update --rebase registry.example/web:2 web',
    'atomic containers update --set PORT=8080 etcd      another value of a system container',
    'atomic containers update --all',
  ])
    .argument('[containers...]', 'names, or beginnings of ids')
    .option('-a, --all', 'all that run')
    .option('--rebase <image>', 'another image from now on')
    .option('--set <name=value>', 'change a value of a system container; may be repeated', collect, [])
    .option('--storage <engine>', 'only of docker, podman or system')
    .action(containerAction(updateAction));
}

async function updateAction(ctx: Context, names: string[], flags: UpdateFlags): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  await namesOrAll(names, flags.all, 'update');
  const values = flags.set.map((text): [string, string] => {
    const at = text.indexOf('=');
    if (at < 1) throw new AtomicError('usage', `--set must be NAME=VALUE, but is '${text}'`);
    return [text.slice(0, at), text.slice(at + 1)];
  });
  await using backends = await openBackends(flags.storage);
  const { namesBetween } = await import('@atomic/containers');
  const chosen = await chooseContainers(backends, names, namesBetween);
  const found = flags.all === true ? await toUpdate(backends, chosen) : chosen;
  const reports: UpdateReport[] = [];
  const errors: unknown[] = [];
  for (const { backend, container } of found) {
    try {
      if (backend.update === undefined) {
        throw new AtomicError('unsupported', `containers of ${backend.name} cannot be updated`);
      }
      // Whoever names a container wants it tried again; a timer does not want the same failure each night.
      const onlyUntried = flags.all === true;
      const options = { rebase: flags.rebase, onlyUntried, signal: ctx.signal, progress: ctx.progress };
      const update = backend.update.bind(backend);
      const { name } = container;
      const what = { backend: backend.name, name, title: `atomic containers update ${name}` };
      const report = await whileLocked(ctx, what, () =>
        // By its name: another command may have made it anew meanwhile.
        update(name, { ...options, ...(values.length === 0 ? {} : { set: Object.fromEntries(values) }) }),
      );
      reports.push(report);
      if (!ctx.json) ctx.print(`${report.name}: ${report.message}`);
    } catch (error) {
      // One bad container does not keep the others from their updates.
      if (found.length === 1 || ctx.signal.aborted) throw error;
      errors.push(error);
      ctx.warn(`${container.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (ctx.json) ctx.printJson(reports);
  if (errors.length > 0) throw errors[0];
  return 0;
}

/** Those that run, the others are as they were left; and those that a cut left under another name. */
async function toUpdate(backends: Backends, all: readonly FoundContainer[]): Promise<FoundContainer[]> {
  const { nameBetweenOf } = await import('@atomic/containers');
  const engines = backends.engines.all().map(({ kind }): string => kind);
  const found = all.flatMap(({ backend, container }): FoundContainer[] => {
    const name = engines.includes(backend.name) ? nameBetweenOf(container.name) : undefined;
    if (name !== undefined) return [{ backend, container: { ...container, name } }];
    return container.state === 'running' ? [{ backend, container }] : [];
  });
  return found.filter(
    ({ backend, container }, at) =>
      found.findIndex((one) => one.backend === backend && one.container.name === container.name) === at,
  );
}
