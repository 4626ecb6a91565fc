import { AtomicError } from '@atomic/ostree';
import type { ImageDetails } from '../backends/backend.ts';
import { requireConsent } from '../consent/consents.ts';
import { fileRisk, type Risk } from '../consent/risk.ts';
import { risksOf } from '../consent/risks.ts';
import { nameOf } from '../engines/engine-containers.ts';
import { containerName } from '../installs/record.ts';
import { defaultRun, spcName, spcRun } from '../labels/defaults.ts';
import { engineOf, readEngineLine } from '../labels/engine-line.ts';
import { findLabel } from '../labels/image-labels.ts';
import { labelStep, nameOfImage, needImage, optionsFile, type VerbContext } from './context.ts';
import type { VerbPlan, VerbStep } from './step.ts';

export interface RunRequest {
  /** An image, or a container that is there. */
  image: string;
  name?: string | undefined;
  command: readonly string[];
  /** Make it anew when it is there. */
  replace?: boolean | undefined;
  /** As a super-privileged container; `profile`: by this command line instead of the usual one. */
  spc?: boolean | undefined;
  profile?: string | undefined;
  /** By its label DEBUG instead of RUN. */
  debug?: boolean | undefined;
  detach?: boolean | undefined;
  /** Runtime for the engine. */
  runtime?: string | undefined;
  /** Run it though its INSTALL label was never run. */
  ignoreInstall?: boolean | undefined;
  opts?: readonly (string | undefined)[] | undefined;
}

export interface RunPlan extends VerbPlan {
  name: string;
  risks: Risk[];
  image: string;
  imageId: string;
}

/** What `run` does now. The image must be there. */
export async function planRun(context: VerbContext, request: RunRequest): Promise<RunPlan> {
  const { engine } = context;
  const base = containerName(request.image);
  const name = request.name ?? (request.spc === true ? spcName(base) : base);
  const existing = await engine.containers.find(name);
  if (existing !== undefined && request.replace !== true) {
    const found = { name, image: existing.Config.Image, imageId: existing.Image, risks: [] };
    const image = await engine.images.find(request.image);
    const notes =
      image !== undefined && image.id !== existing.Image
        ? [`the container '${name}' was made of another version of ${request.image}: --replace makes it anew`]
        : [];
    return { ...found, notes, steps: again(context, nameOf(existing), existing.State.Running, request) };
  }
  const image = await needImage(engine, request.image);
  const reference = nameOfImage(request.image, image);
  refuseUninstalled(context, request, image);
  const text = commandText(context, request, image);
  const label = { name, image: reference, labels: image.labels, opts: request.opts ?? [], args: request.command };
  const step = labelStep(context, request.debug === true ? 'DEBUG' : 'RUN', text, label);
  const words = withOptions(step.words, request);
  const file = request.debug === true ? undefined : optionsFile(context, text, label);
  const before: VerbStep[] = existing === undefined ? [] : [{ do: 'delete', container: name }];
  return {
    name,
    image: reference,
    imageId: image.id,
    risks: [...risksOf(words), ...(file === undefined ? [] : [fileRisk(file, 'the label RUN_OPTS_FILE')])],
    notes: [],
    steps: [...before, { ...step, words }],
  };
}

/** The container is there: go into it, or start it. */
function again({ engine, caller }: VerbContext, name: string, running: boolean, request: RunRequest): VerbStep[] {
  const exec = (argv: readonly string[]): VerbStep => ({
    do: 'command',
    words: [...engine.program, 'exec', ...(caller.terminal ? ['-t'] : []), '-i', name, ...argv],
    environment: {},
  });
  if (running) return request.command.length === 0 ? [] : [exec(request.command)];
  if (request.command.length > 0) return [{ do: 'start', container: name }, exec(request.command)];
  return request.detach !== true && caller.terminal
    ? [{ do: 'command', words: [...engine.program, 'start', '-i', '-a', name], environment: {} }]
    : [{ do: 'start', container: name }];
}

function refuseUninstalled({ installs, engine }: VerbContext, request: RunRequest, image: ImageDetails): void {
  if (request.ignoreInstall === true || findLabel(image.labels, 'INSTALL') === undefined) return;
  const done = installs.find(engine.kind, undefined, image.id).some(({ state }) => state === 'installed');
  if (done) return;
  throw new AtomicError('invalid', `${request.image} has to be installed before it can run`, {
    hint: `atomic install ${request.image}, or run it all the same with --ignore`,
  });
}

function commandText({ caller, selinux }: VerbContext, request: RunRequest, { labels }: ImageDetails): string {
  const terminal = { tty: caller.terminal, detach: request.detach === true };
  if (request.profile !== undefined) return request.profile;
  if (request.debug === true) {
    const text = findLabel(labels, 'DEBUG');
    if (text !== undefined) return text;
    throw new AtomicError('not-found', `${request.image} has no label DEBUG`, { hint: 'run it as usual' });
  }
  if (request.spc === true) return spcRun({ ...terminal, selinux });
  return findLabel(labels, 'RUN') ?? defaultRun(terminal);
}

/** Adds what was asked for on the command line to the engine's options. */
function withOptions(words: string[], { detach, runtime }: RunRequest): string[] {
  const [program = ''] = words;
  if (engineOf(program) === undefined) return words;
  const { verb, options } = readEngineLine(words);
  if (verb !== 'run') return words;
  const has = (name: string): boolean => options.some((option) => option.name === name);
  const more: string[] = [];
  if (detach === true && !has('detach')) more.push('-d');
  if (runtime !== undefined && !has('runtime')) more.push(`--runtime=${runtime}`);
  const at = words.indexOf('run', 1) + 1;
  return [...words.slice(0, at), ...more, ...words.slice(at)];
}

/** Asks whoever is there for what the plan wants of the machine. Throws the outcome `refused`. */
export const agreeToRun = ({ consents, ask, yes }: VerbContext, plan: RunPlan, what: string): Promise<void> =>
  requireConsent({ what, image: plan.image, digest: plan.imageId, risks: plan.risks, yes, ask, consents });
