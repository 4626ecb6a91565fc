import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '@atomic/ostree';
import type { ImageDetails, OperationOptions, UpdateOptions, UpdateReport } from '../backends/backend.ts';
import { OutcomeError } from '../outcome.ts';
import type { EngineApi } from './api.ts';
import { type EngineContainers, nameOf } from './engine-containers.ts';
import type { EngineImages } from './engine-images.ts';
import { recipe } from './recipe.ts';
import { createdAnswer, type EngineContainer } from './schema.ts';

/** Under this name the container before the last update waits. */
export const previousName = (name: string): string => `${name}-previous`;

/** A container that runs this long is well, when its image has no check of its own; milliseconds. */
const SETTLE = 3000;
/** How long a check of the image's may take to succeed, at least; milliseconds. */
const HEALTH_DEADLINE = 120_000;

/** How long an engine takes to say by this check that a container is unhealthy; milliseconds. */
export function healthDeadline({ Healthcheck }: EngineContainer['Config']): number {
  const { StartPeriod = 0, Interval, Timeout, Retries } = Healthcheck ?? {};
  // In nanoseconds; without a value the engines' own.
  const once = (Interval || 30e9) + (Timeout || 30e9);
  return Math.max(HEALTH_DEADLINE, (StartPeriod + once * (Retries || 3)) / 1e6);
}

interface Tools {
  api: EngineApi;
  containers: EngineContainers;
  images: EngineImages;
}

const path = (container: string): string => `/containers/${encodeURIComponent(container)}`;
const rename = ({ api }: Tools, id: string, name: string): Promise<void> =>
  api.call('POST', `${path(id)}/rename`, { query: { name } });

/** Whether the engine may start it by itself: only the one that counts shall come back after a restart. */
const restartBy = ({ api }: Tools, id: string, policy: unknown): Promise<void> =>
  api.call('POST', `${path(id)}/update`, { body: { RestartPolicy: policy } }).catch((error: unknown) => {
    // Podman's copy of the API has no such call in older versions; there systemd starts containers.
    if (!(error instanceof AtomicError) || error.code === 'network') throw error;
  });

/** Starts it and waits until it is well. Returns why it is not, or undefined. */
async function startWell(tools: Tools, id: string, signal: AbortSignal | undefined): Promise<string | undefined> {
  try {
    await tools.containers.start(id, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  }
  const started = Date.now();
  for (;;) {
    signal?.throwIfAborted();
    const now = await tools.containers.find(id);
    if (now === undefined) return 'it is gone';
    const { Running, Status, ExitCode, Error: said, Health } = now.State;
    // With a restart policy the engine starts it again and again, and it seems to run.
    if (!Running || Status === 'restarting' || now.RestartCount > 0)
      return `it ended with status ${ExitCode}${said === '' ? '' : `: ${said}`}`;
    const checked = Health !== null && Health !== undefined && Health.Status !== 'none' && Health.Status !== '';
    if (checked && Health.Status === 'healthy') return undefined;
    if (checked && Health.Status === 'unhealthy') return "its image's own check says it is unhealthy";
    const waited = Date.now() - started;
    if (!checked && waited >= SETTLE) return undefined;
    const deadline = healthDeadline(now.Config);
    if (checked && waited >= deadline) return `it was not healthy within ${Math.round(deadline / 1000)} s`;
    await sleep(100, undefined, { signal });
  }
}

/** Stops what runs. An engine goes on stopping when nobody listens any more: what was started meanwhile would end too. */
async function stopWhole({ containers }: Tools, { Id, State }: EngineContainer, signal?: AbortSignal): Promise<void> {
  if (State.Running) await containers.stop(Id);
  signal?.throwIfAborted();
}

/** Under this name the old container waits until the new one is proven: whoever finds it goes back to it. */
const swappingName = (name: string): string => `${name}-swapping`;
/** Under this name a rollback has the container it goes back from, until the one before is in its place. */
const returningName = (name: string): string => `${name}-returning`;

/** Names a container may be left under by a command that was cut. */
export const namesBetween = (name: string): string[] => [swappingName(name), returningName(name)];
/** The container that a name in between is about; undefined for other names. */
export const nameBetweenOf = (name: string): string | undefined => /^(.+)-(?:swapping|returning)$/.exec(name)?.[1];

/**
 * Makes good what a cut left: no name without its container, nothing under the names in between. A new container that
 * was not proven yet gives way to the old one; a rollback that had its container in place is done. Returns whether all
 * was `whole`, the container before is `back`, or the one that was to be left has its name `again`. Those two are to be
 * started: what was cut had stopped them, or was about to.
 */
async function recover(tools: Tools, name: string): Promise<'whole' | 'back' | 'again'> {
  const { containers } = tools;
  const find = async (wanted: string): Promise<EngineContainer | undefined> => {
    const found = await containers.find(wanted);
    // Engines take the beginning of an id for a name too.
    return found !== undefined && nameOf(found) === wanted ? found : undefined;
  };
  const current = await find(name);
  const swapping = await find(swappingName(name));
  const returning = await find(returningName(name));
  if (swapping !== undefined) {
    if (current !== undefined) await containers.delete(current.Id, { force: true });
    await rename(tools, swapping.Id, name);
    if (current !== undefined) await restartBy(tools, swapping.Id, current.HostConfig['RestartPolicy']);
    return 'back';
  }
  if (returning !== undefined && current !== undefined) {
    await restartBy(tools, current.Id, returning.HostConfig['RestartPolicy']);
    await leave(tools, returning, name);
    return 'back';
  }
  if (returning !== undefined) {
    await rename(tools, returning.Id, name);
    return 'again';
  }
  const previous = current === undefined ? await find(previousName(name)) : undefined;
  if (previous === undefined) return 'whole';
  await rename(tools, previous.Id, name);
  return 'back';
}

/** Keeps a container for a rollback. */
async function leave(tools: Tools, container: EngineContainer, name: string): Promise<void> {
  await restartBy(tools, container.Id, { Name: 'no' });
  await rename(tools, container.Id, previousName(name));
}

/**
 * Makes a container anew of the newest version of its image. The old one waits under another name until the next
 * update; it comes back at once when the new one does not run well. Throws the outcomes `unhealthy` and `stuck`.
 */
export async function updateContainer(tools: Tools, container: string, options: UpdateOptions): Promise<UpdateReport> {
  const { signal, rebase, set } = options;
  const { containers, images } = tools;
  if (set !== undefined) {
    throw new AtomicError('usage', `containers of ${containers.name} have no values to set`, {
      hint: 'give its environment anew: atomic run --replace …',
    });
  }
  const cut = await recover(tools, container);
  if (cut !== 'whole') await containers.start(container, { signal });
  const old = await containers.find(container);
  if (old === undefined) throw new AtomicError('not-found', `${containers.name} has no container '${container}'`);
  const name = nameOf(old);
  if (name.endsWith('-previous') && (await containers.find(name.slice(0, -'-previous'.length))) !== undefined) {
    return {
      name,
      changed: false,
      before: old.Image,
      after: old.Image,
      message: 'It waits for a rollback; it is left alone.',
    };
  }
  const reference = rebase ?? old.Config.Image;
  const local = await images.find(reference);
  const isOurs = local !== undefined && wasMadeHere(local, reference);
  await images.pull(reference, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    // An image that was made here is in no registry.
    if (!isOurs) throw error;
  });
  const image = await images.find(reference);
  if (image === undefined) throw new AtomicError('not-found', `${containers.name} has no image '${reference}'`);
  const told = { name, before: old.Image, after: image.id };
  if (image.id === old.Image) return { ...told, changed: false, message: 'Latest version already installed.' };
  if (old.HostConfig.AutoRemove) {
    const why = 'made with --rm: it and its volumes go when it is stopped';
    if (options.onlyUntried === true) return { ...told, after: old.Image, changed: false, message: `It was ${why}.` };
    throw new AtomicError('unsupported', `'${name}' was ${why}, and nothing would be left to go back to`, {
      hint: `stop it, and run it anew from ${reference}`,
    });
  }
  const { body, networks } = await recipe(tools.api, old, reference);
  const policy = old.HostConfig['RestartPolicy'];
  // First the name: who finds it knows that it is to run, whether it was stopped yet or not.
  await rename(tools, old.Id, swappingName(name));
  let made: string | undefined;
  let why: string | undefined;
  try {
    await stopWhole(tools, old, signal);
    made = (await tools.api.json('POST', '/containers/create', createdAnswer, { body, query: { name } })).Id;
    for (const [network, endpoint] of networks) {
      const connected = { Container: made, EndpointConfig: endpoint };
      await tools.api.call('POST', `/networks/${encodeURIComponent(network)}/connect`, { body: connected });
    }
    if (old.State.Running) why = await startWell(tools, made, signal);
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  if (why === undefined) {
    const waiting = await containers.find(previousName(name));
    if (waiting !== undefined) await containers.delete(waiting.Id, { force: true });
    await leave(tools, old, name);
    return {
      ...told,
      changed: true,
      message: `updated to ${short(image.id)}; ${short(old.Image)} waits as ${previousName(name)}`,
    };
  }
  await goBack(tools, old, made, name, why, policy);
  signal?.throwIfAborted();
  throw new OutcomeError('unhealthy', `${name}: the new version was not well, the old one is back: ${why}`, {
    hint: `see what it said: run it by hand from ${reference}`,
  });
}

async function goBack(
  tools: Tools,
  old: EngineContainer,
  made: string | undefined,
  name: string,
  why: string,
  policy: unknown,
): Promise<void> {
  try {
    if (made !== undefined) await tools.containers.delete(made, { force: true });
    await rename(tools, old.Id, name);
    if (policy !== undefined) await restartBy(tools, old.Id, policy);
    if (old.State.Running) await tools.containers.start(old.Id);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new OutcomeError('stuck', `${name}: the new version was not well (${why}), and going back failed: ${said}`, {
      hint: `the old one is there as ${swappingName(name)}`,
      cause,
    });
  }
}

/** Changes places with the container before the last update. */
export async function rollbackContainer(
  tools: Tools,
  name: string,
  { signal }: OperationOptions = {},
): Promise<UpdateReport> {
  const { containers } = tools;
  const cut = await recover(tools, name);
  const current = await containers.find(name);
  const previous = await containers.find(previousName(name));
  if (current === undefined || (previous === undefined && cut !== 'back')) {
    throw new AtomicError('not-found', `'${name}' has nothing to go back to`, { hint: 'it was not updated yet' });
  }
  if (cut === 'back' || previous === undefined) {
    // What was cut went back already, or was taken back.
    const why = await startWell(tools, current.Id, signal);
    if (why !== undefined) throw new OutcomeError('stuck', `${name}: the container before is not well: ${why}`);
    return { name, changed: true, before: undefined, after: current.Image, message: `back to ${short(current.Image)}` };
  }
  const done = {
    ...{ name, changed: true, before: current.Image, after: previous.Image },
    message: `back to ${short(previous.Image)}`,
  };
  // One that crashed was to run; one that was stopped by a signal was not.
  const crashed = ![0, 137, 143].includes(current.State.ExitCode);
  const runs = cut === 'again' || current.State.Running || crashed;
  await rename(tools, current.Id, returningName(name));
  try {
    await stopWhole(tools, current, signal);
    await rename(tools, previous.Id, name);
  } catch (error) {
    await rename(tools, current.Id, name);
    if (current.State.Running) await containers.start(current.Id);
    throw error;
  }
  await restartBy(tools, previous.Id, current.HostConfig['RestartPolicy']);
  const why = runs ? await startWell(tools, previous.Id, signal) : undefined;
  await leave(tools, current, name);
  if (why === undefined) return done;
  throw new OutcomeError('unhealthy', `${name}: the container before the update is not well either: ${why}`, {
    hint: `change back: atomic containers rollback ${name}`,
  });
}

/**
 * Whether an image was not fetched by this name: it was built here, or tagged. Docker keeps a digest with the name an
 * image was fetched by; podman keeps one with each of its names, and calls what is made here localhost's.
 */
function wasMadeHere({ digests, names }: ImageDetails, reference: string): boolean {
  const repository = reference.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
  return !digests.some((one) => one.startsWith(`${repository}@`)) || /^localhost\//.test(names[0] ?? '');
}

const short = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12);
