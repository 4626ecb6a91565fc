import { AtomicError } from '@atomic/ostree';
import { risksOf } from '../consent/risks.ts';
import { nameOf } from '../engines/engine-containers.ts';
import { findLabel } from '../labels/image-labels.ts';
import { labelStep, type VerbContext } from './context.ts';
import type { RunPlan } from './run.ts';

export interface StopRequest {
  container: string;
  args: readonly string[];
  timeoutSeconds?: number | undefined;
  opts?: readonly (string | undefined)[] | undefined;
}

/** What `stop` does now: the label STOP, else the engine's own stopping. */
export async function planStop(context: VerbContext, request: StopRequest): Promise<RunPlan> {
  const { engine } = context;
  const one = await engine.containers.find(request.container);
  if (one === undefined) {
    throw new AtomicError('not-found', `${engine.kind} has no container '${request.container}'`, {
      hint: 'see: atomic containers list --all',
    });
  }
  const name = nameOf(one);
  const told = { name, image: one.Config.Image, imageId: one.Image, risks: [] };
  if (!one.State.Running) return { ...told, steps: [], notes: [`'${name}' is not running`] };
  // A container has the labels of its image, even when that has gone.
  const text = findLabel(one.Config.Labels, 'STOP');
  if (text === undefined) {
    const { timeoutSeconds } = request;
    const time = timeoutSeconds === undefined ? {} : { timeoutSeconds };
    return { ...told, notes: [], steps: [{ do: 'stop', container: name, ...time }] };
  }
  const label = {
    name,
    image: one.Config.Image,
    labels: one.Config.Labels,
    opts: request.opts ?? [],
    args: request.args,
  };
  const step = labelStep(context, 'STOP', text, label);
  return { ...told, notes: [], risks: risksOf(step.words, name), steps: [step] };
}
