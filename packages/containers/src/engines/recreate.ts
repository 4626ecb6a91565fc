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
/** How long a check of the image's may take to succeed; milliseconds. */
const HEALTH_DEADLINE = 120_000;

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
    if (checked && waited >= HEALTH_DEADLINE) return `it was not healthy within ${HEALTH_DEADLINE / 1000} s`;
    await sleep(100, undefined, { signal });
  }
}

const swappingName = (name: string): string => `${name}-swapping`;

/**
 * Makes good what a cut left: no name without its container, nothing under the name in between. A new container that
 * was not proven yet gives way to the old one.
 */
async function recover(tools: Tools, name: string): Promise<void> {
  const { containers } = tools;
  const current = await containers.find(name);
  const previous = await containers.find(previousName(name));
  const swapping = await containers.find(swappingName(name));
  if (swapping !== undefined) {
    if (current !== undefined && previous === undefined) await rename(tools, swapping.Id, previousName(name));
    else {
      if (current !== undefined) await containers.delete(current.Id, { force: true });
      await rename(tools, swapping.Id, name);
    }
  } else if (current === undefined && previous !== undefined) await rename(tools, previous.Id, name);
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
  await recover(tools, container);
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
  const body = await recipe(tools.api, old, reference);
  const policy = old.HostConfig['RestartPolicy'];
  if (old.State.Running) await containers.stop(old.Id, { signal });
  await rename(tools, old.Id, swappingName(name));
  let made: string | undefined;
  let why: string | undefined;
  try {
    made = (await tools.api.json('POST', '/containers/create', createdAnswer, { body, query: { name } })).Id;
    await connectOthers(tools, old, made);
    if (old.State.Running) why = await startWell(tools, made, signal);
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  if (why === undefined) {
    const waiting = await containers.find(previousName(name));
    if (waiting !== undefined) await containers.delete(waiting.Id, { force: true });
    await rename(tools, old.Id, previousName(name));
    await restartBy(tools, old.Id, { Name: 'no' });
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

/** Older engines take one network when a container is made. */
async function connectOthers({ api }: Tools, old: EngineContainer, made: string): Promise<void> {
  for (const network of Object.keys(old.NetworkSettings?.Networks ?? {}).slice(1)) {
    await api.call('POST', `/networks/${encodeURIComponent(network)}/connect`, { body: { Container: made } });
  }
}

/** Changes places with the container before the last update. */
export async function rollbackContainer(
  tools: Tools,
  name: string,
  { signal }: OperationOptions = {},
): Promise<UpdateReport> {
  const { containers } = tools;
  const alone = (await containers.find(name)) === undefined;
  await recover(tools, name);
  const current = await containers.find(name);
  const previous = await containers.find(previousName(name));
  if (current === undefined || (previous === undefined && !alone)) {
    throw new AtomicError('not-found', `'${name}' has nothing to go back to`, { hint: 'it was not updated yet' });
  }
  if (alone || previous === undefined) {
    // A cut had taken the new one away; what was before it has its name again.
    const why = await startWell(tools, current.Id, signal);
    if (why !== undefined) throw new OutcomeError('stuck', `${name}: the container before is not well: ${why}`);
    return { name, changed: true, before: undefined, after: current.Image, message: `back to ${short(current.Image)}` };
  }
  const done = {
    ...{ name, changed: true, before: current.Image, after: previous.Image },
    message: `back to ${short(previous.Image)}`,
  };
  if (current.State.Running) await containers.stop(current.Id, { signal });
  await rename(tools, current.Id, swappingName(name));
  await rename(tools, previous.Id, name);
  await rename(tools, current.Id, previousName(name));
  await restartBy(tools, previous.Id, current.HostConfig['RestartPolicy']);
  const why = current.State.Running ? await startWell(tools, previous.Id, signal) : undefined;
  await restartBy(tools, current.Id, { Name: 'no' });
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
