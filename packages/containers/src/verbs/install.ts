import { AtomicError } from '@atomic/ostree';
import { risksOf } from '../consent/risks.ts';
import { containerName, type InstallRecord } from '../installs/record.ts';
import { findLabel } from '../labels/image-labels.ts';
import { labelStep, nameOfImage, needImage, type VerbContext } from './context.ts';
import type { RunPlan } from './run.ts';
import type { VerbStep } from './step.ts';

export interface InstallRequest {
  image: string;
  /** Command lines of a profile, instead of the labels. */
  profile?: { install?: string | undefined; uninstall?: string | undefined } | undefined;
  name?: string | undefined;
  args: readonly string[];
  opts?: readonly (string | undefined)[] | undefined;
}

/** What `install` does now. The image must be there. */
export async function planInstall(context: VerbContext, request: InstallRequest): Promise<RunPlan> {
  const { engine, installs } = context;
  const image = await needImage(engine, request.image);
  const reference = nameOfImage(request.image, image);
  const text = request.profile?.install ?? findLabel(image.labels, 'INSTALL');
  const name = request.name ?? containerName(request.image);
  const told = { name, image: reference, imageId: image.id };
  if (text === undefined) {
    return { ...told, risks: [], steps: [], notes: [`${reference} has no label INSTALL: there is nothing more to do`] };
  }
  const [other] = installs.find(engine.kind, name, undefined);
  if (other !== undefined && other.imageId !== image.id && containerName(other.image) !== containerName(reference)) {
    throw new AtomicError('exists', `'${name}' is installed already, from ${other.image}`, {
      hint: 'give another --name',
    });
  }
  const label = { name, image: reference, labels: image.labels, opts: request.opts ?? [], args: request.args };
  const step = labelStep(context, 'INSTALL', text, label);
  const uninstall = request.profile?.uninstall ?? findLabel(image.labels, 'UNINSTALL');
  const record = {
    version: 1,
    name,
    image: reference,
    imageId: image.id,
    backend: engine.kind,
    date: new Date().toISOString(),
    ...(uninstall === undefined ? {} : { uninstall }),
  } as const;
  return {
    ...told,
    risks: risksOf(step.words),
    notes: other?.state === 'installing' ? [`an earlier installation of '${name}' was cut off; it is done again`] : [],
    steps: [
      // Noted beforehand: what a cut leaves behind can be uninstalled.
      { do: 'record', record: { ...record, state: 'installing' } },
      step,
      { do: 'record', record: { ...record, state: 'installed' } },
    ],
  };
}

export interface UninstallRequest {
  /** An image, or the name of a container. */
  image: string;
  name?: string | undefined;
  args: readonly string[];
  /** Containers that use the image go too, and a failing UNINSTALL does not end it. */
  force?: boolean | undefined;
  /** Leave the image. */
  keepImage?: boolean | undefined;
  opts?: readonly (string | undefined)[] | undefined;
}

/** The name that `uninstall` is about: what is to be locked before {@link planUninstall} looks. */
export async function uninstallName(context: VerbContext, request: UninstallRequest): Promise<string> {
  const id = (await context.engine.images.find(request.image))?.id;
  return request.name ?? findRecord(context, request, id)?.name ?? containerName(request.image);
}

/** What `uninstall` does now. */
export async function planUninstall(context: VerbContext, request: UninstallRequest): Promise<RunPlan> {
  const { engine, installs } = context;
  const asked = await engine.images.find(request.image);
  const record = findRecord(context, request, asked?.id);
  const image = asked ?? (record === undefined ? undefined : await engine.images.find(record.imageId || record.image));
  const name = request.name ?? record?.name ?? containerName(request.image);
  const container = await engine.containers.find(name);
  if (image === undefined && record === undefined) {
    throw new AtomicError('not-found', `neither an installation nor an image '${request.image}' is here`, {
      hint: 'see: atomic images list, atomic containers list',
    });
  }
  const imageId = image?.id ?? record?.imageId ?? '';
  const reference = asked === undefined ? (record?.image ?? request.image) : nameOfImage(request.image, asked);
  const text = record?.uninstall ?? findLabel(image?.labels ?? {}, 'UNINSTALL');
  const owned = container !== undefined && (container.Image === imageId || container.Config.Image === reference);
  const users = (await engine.containers.list()).filter((one) => one.imageId === imageId && one.name !== name);
  const others = installs.find(engine.kind, undefined, imageId).filter((one) => one.name !== name);
  if (users.length > 0 && request.force !== true && request.keepImage !== true && others.length === 0) {
    throw new AtomicError('locked', `${reference} is used by ${users.map((one) => one.name).join(', ')}`, {
      hint: 'delete these containers first, or use --force',
    });
  }
  const steps: VerbStep[] = owned
    ? [
        { do: 'stop', container: name },
        { do: 'delete', container: name },
      ]
    : [];
  const notes: string[] = [];
  const label = { name, image: reference, labels: image?.labels ?? {}, opts: request.opts ?? [], args: request.args };
  const step = text === undefined ? undefined : labelStep(context, 'UNINSTALL', text, label);
  if (step !== undefined) steps.push({ ...step, mayFail: request.force === true });
  if (record !== undefined) steps.push({ do: 'forget', record });
  const last = others.length === 0 && image !== undefined && request.keepImage !== true;
  if (last) {
    if (request.force === true) steps.push(...users.map((one): VerbStep => ({ do: 'delete', container: one.id })));
    // By each of its names: by its id, an engine wants to be forced when it has several.
    const names = image.names.length === 0 ? [image.id] : image.names;
    steps.push(...names.map((one): VerbStep => ({ do: 'delete-image', image: one, force: request.force === true })));
  } else if (others.length > 0)
    notes.push(`the image stays: ${others.map((one) => one.name).join(', ')} is installed from it`);
  return { name, image: reference, imageId, risks: step === undefined ? [] : risksOf(step.words), notes, steps };
}

/** By the name given; else by the image's id, whichever name it is given; else as the name of a container. */
function findRecord(
  { engine, installs }: VerbContext,
  { image, name }: UninstallRequest,
  imageId: string | undefined,
): InstallRecord | undefined {
  if (name !== undefined) return installs.find(engine.kind, name, undefined)[0];
  const same = installs.find(engine.kind, undefined, imageId);
  const base = containerName(image);
  const found = same.find((one) => one.name === base) ?? same[0] ?? installs.find(engine.kind, base, undefined)[0];
  if (same.length > 1 && found?.name !== base) {
    throw new AtomicError('usage', `${image} is installed as ${same.map((one) => one.name).join(', ')}`, {
      hint: 'say which: --name NAME',
    });
  }
  return found;
}
