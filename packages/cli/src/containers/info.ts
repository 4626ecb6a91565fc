import type { Confinement, ContainerSummary, ImageDetails, Risk } from '@atomic/containers';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { findContainer, findImages, openBackends } from './backends.ts';
import { add, containerAction } from './common.ts';
import { withRegistryAccess } from './registry-access.ts';
import { type ReachOptions, reachOf } from './store.ts';
import { tableLines, visible } from './table.ts';
import { withTrustPaths } from './trust/common.ts';
import { callerHere } from './verb.ts';

interface InfoFlags extends ReachOptions {
  remote?: boolean;
  security?: boolean;
  storage?: string;
}

const SUMMARY = 'what an image says of itself, and what a container is; with --security, what confines it';

/** Adds `atomic info`. */
export const register = (program: Command): void => define(program, 'atomic info');

/** Adds `atomic images info`, the same of images. */
export const registerInfo = (images: Command): void => define(images, 'atomic images info');

function define(parent: Command, words: string): void {
  const info = add(parent, 'info', SUMMARY, [
    `${words} registry.example/web`,
    `${words} --security web          what confines the container web, or would confine one of its image`,
    `${words} --json web`,
    `${words} --remote registry.example/web    what its registry has`,
  ]);
  withTrustPaths(withRegistryAccess(info))
    .argument('<name>', 'an image or a container')
    .option('--security', 'what confines it')
    .option('--remote', 'the image as its registry has it')
    .option('--storage <engine>', 'only in docker, podman, system, quadlet or atomic')
    .action(containerAction(infoAction));
}

interface Told {
  kind: 'image' | 'container';
  backend: string;
  details: ImageDetails | ContainerSummary;
  labels: Readonly<Record<string, string>>;
  confinement: Confinement[];
  /** Everything the backend knows of a container, for JSON. */
  inspected?: Record<string, unknown>;
}

async function infoAction(ctx: Context, name: string, flags: InfoFlags): Promise<void> {
  const { AtomicError } = await import('@atomic/ostree');
  if (flags.remote === true) {
    await remoteInfo(ctx, name, flags);
    return;
  }
  await using backends = await openBackends(flags.storage);
  const missing = (error: unknown): [] => {
    if (error instanceof AtomicError && error.code === 'not-found') return [];
    throw error;
  };
  const images = await findImages(backends, name).catch(missing);
  const told: Told[] = [];
  const container = await findContainer(backends, name).catch(missing);
  if (!Array.isArray(container)) {
    const { backend, container: details } = container;
    const confinement = flags.security === true ? await backend.confinement(details.id) : [];
    const inspected = ctx.json ? { inspected: await backend.inspect(details.id) } : {};
    told.push({ kind: 'container', backend: backend.name, details, labels: {}, confinement, ...inspected });
  }
  for (const { backend, image } of images) {
    const confinement = flags.security === true ? await wouldConfine(image) : [];
    told.push({ kind: 'image', backend: backend.name, details: image, labels: image.labels, confinement });
  }
  if (told.length === 0) {
    throw new AtomicError('not-found', `there is neither an image nor a container '${name}'`, {
      hint: 'see: atomic images list, atomic containers list --all',
    });
  }
  if (ctx.json) {
    ctx.printJson(
      told.map(({ kind, details, confinement, inspected }) => ({
        kind,
        ...details,
        ...(flags.security ? { confinement } : {}),
        ...(inspected === undefined ? {} : { inspected }),
      })),
    );
    return;
  }
  for (const one of told) print(ctx, one, flags.security === true);
}

/** What its label RUN asks for, or what the engine does anyway. */
async function wouldConfine(image: ImageDetails): Promise<Confinement[]> {
  const { AtomicError } = await import('@atomic/ostree');
  const { containerName, findLabel, labelVariables, risksOf, substitute } = await import('@atomic/containers');
  const text = findLabel(image.labels, 'RUN');
  const [reference = image.id] = image.names;
  const variables = labelVariables({ ...callerHere(), name: containerName(reference), image: reference });
  const risks = ((): readonly Risk[] => {
    if (text === undefined) return [];
    try {
      return risksOf(substitute(text, variables, 'the label RUN'));
    } catch (error) {
      // What `run` would refuse, as a variable that is not set.
      if (!(error instanceof AtomicError)) throw error;
      return [{ id: 'label', weight: 'grave', text: error.message }];
    }
  })();
  const isRoot = ['', '0', 'root'].includes(image.user.replace(/:.*$/, ''));
  return [
    { aspect: 'user', value: image.user || 'root', confined: !isRoot },
    ...risks.map(({ id, text: value, weight }) => ({
      aspect: id.replace(/:.*$/, ''),
      value,
      confined: weight === 'note',
    })),
  ];
}

function print(ctx: Context, { kind, backend, details, labels, confinement }: Told, security: boolean): void {
  const facts: [string, string][] =
    'names' in details
      ? [
          ['Image', details.names.join(', ') || '<none>'],
          ['Id', details.id],
          ['Digests', details.digests.join(', ')],
          ['Created', details.created],
          ['Platform', `${details.os}/${details.architecture}`],
          ['User', details.user || 'root'],
          ['Entry point', details.entrypoint.join(' ')],
          ['Command', details.command.join(' ')],
        ]
      : [
          ['Container', details.name],
          ['Id', details.id],
          ['Image', details.image],
          ['Command', details.command],
          ['Created', details.created],
          ['State', details.state],
          ['Runtime', details.runtime],
        ];
  for (const [key, value] of [...facts, ['Backend', backend] as const])
    if (value !== '') ctx.print(`${key}: ${visible(value)}`);
  if (kind === 'image' && !security) {
    printLabels(ctx, labels);
    if ('parameters' in details && details.parameters !== undefined) {
      ctx.print('PARAMETERS:');
      for (const { name, default: value } of details.parameters)
        ctx.print(`  ${name}${value === undefined ? ' (must be set)' : ` (default: ${value})`}`);
    }
  }
  if (security) {
    const lines = tableLines(confinement, [
      { title: '', value: ({ confined }) => (confined ? '+' : '!') },
      { title: 'WHAT CONFINES IT', value: ({ aspect }) => aspect },
      { title: '', value: ({ value }) => value },
    ]);
    for (const line of lines) ctx.print(line);
  }
  ctx.print('');
}

async function remoteInfo(ctx: Context, image: string, flags: InfoFlags): Promise<void> {
  const { remoteImage } = await import('@atomic/containers');
  const { name, listDigest, digest, id, config } = await remoteImage(image, {
    ...(await reachOf(flags)),
    signal: ctx.signal,
  });
  const labels = config.config?.Labels ?? {};
  if (ctx.json) {
    ctx.printJson({
      kind: 'image',
      name,
      digest,
      listDigest,
      id,
      created: config.created,
      os: config.os,
      architecture: config.architecture,
      labels,
    });
    return;
  }
  const facts = {
    Image: name,
    Digest: digest,
    Id: id,
    Created: config.created ?? '',
    Platform: `${config.os}/${config.architecture}`,
  };
  for (const [key, value] of Object.entries(facts)) if (value !== '') ctx.print(`${key}: ${value}`);
  printLabels(ctx, labels);
}

function printLabels(ctx: Context, labels: Readonly<Record<string, string>>): void {
  const names = Object.keys(labels).sort();
  if (names.length > 0) ctx.print('LABELS:');
  for (const name of names) ctx.print(`  ${visible(name)}: ${visible(labels[name] ?? '')}`);
}
