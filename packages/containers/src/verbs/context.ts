import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import type { ImageDetails } from '../backends/backend.ts';
import type { Ask, Consents } from '../consent/consents.ts';
import type { Engine } from '../engines/open.ts';
import type { Installs } from '../installs/installs.ts';
import {
  type CommandLabel,
  findLabel,
  labelVariables,
  OWN_VARIABLES,
  optionsFilePath,
} from '../labels/image-labels.ts';
import { substitute, withEngine } from '../labels/substitute.ts';
import { readWords } from '../labels/words.ts';
import type { VerbStep } from './step.ts';

/** Who calls, and from where. */
export interface Caller {
  environment: Readonly<Record<string, string | undefined>>;
  folder: string;
  uid: number;
  gid: number;
  /** Standard input and output are a terminal. */
  terminal: boolean;
}

export interface VerbContext {
  engine: Engine;
  installs: Installs;
  consents: Consents;
  caller: Caller;
  /** `--yes`. */
  yes: boolean;
  ask: Ask;
  /** SELinux is on. */
  selinux: boolean;
}

export interface LabelRequest {
  name: string;
  image: string;
  labels: Readonly<Record<string, string>>;
  /** `--opt1` to `--opt3`. */
  opts?: readonly (string | undefined)[];
  /** Added at the end. */
  args?: readonly string[];
}

/** A label's text as a step. Throws `invalid` naming the label for what cannot be done without a shell. */
export function labelStep(
  { engine, caller }: VerbContext,
  label: CommandLabel,
  text: string,
  request: LabelRequest,
): VerbStep & { do: 'command' } {
  const { image, args = [] } = request;
  const variables = variablesOf(caller, request);
  const file = label === 'RUN' ? optionsFile({ caller }, text, request) : undefined;
  if (file !== undefined) variables['RUN_OPTS'] = readOptions(file);
  const words = withEngine(substitute(text, variables, `the label ${label} of ${image}`), engine.program);
  if (words.length === 0) throw new AtomicError('invalid', `the label ${label} of ${image} has no command`);
  const environment = Object.fromEntries(OWN_VARIABLES.map((key) => [key, variables[key] ?? '']));
  return { do: 'command', words: [...words, ...args], environment };
}

const variablesOf = (caller: Caller, { name, image, opts }: LabelRequest): Record<string, string | undefined> =>
  labelVariables({ ...caller, name, image, ...(opts === undefined ? {} : { opts }) });

/** The file of the machine whose text becomes `RUN_OPTS` in the label RUN; undefined when there is none in it. */
export function optionsFile(
  { caller }: Pick<VerbContext, 'caller'>,
  text: string,
  request: LabelRequest,
): string | undefined {
  const file = findLabel(request.labels, 'RUN_OPTS_FILE');
  if (file === undefined || !text.includes('RUN_OPTS')) return undefined;
  return optionsFilePath(substitute(file, variablesOf(caller, request), 'the label RUN_OPTS_FILE'));
}

function readOptions(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AtomicError(
      'not-found',
      `the file of options ${path}, which the label RUN_OPTS_FILE names, cannot be read`,
      {
        hint: 'an empty file is enough',
        cause,
      },
    );
  }
  readWords(text, path);
  return text;
}

/** The image, or `not-found` with how to get it. */
export async function needImage(engine: Engine, image: string): Promise<ImageDetails> {
  const found = await engine.images.find(image);
  if (found !== undefined) return found;
  throw new AtomicError('not-found', `${engine.kind} has no image '${image}'`, {
    hint: `fetch it: ${engine.kind} pull ${image}, or see what is there: atomic images list`,
  });
}

/** The name to use for an image: as it was asked for when it is one of its names, else its first. */
export const nameOfImage = (asked: string, { names, id }: ImageDetails): string =>
  names.includes(asked) || names.includes(`${asked}:latest`)
    ? asked
    : id.startsWith(asked) || id.startsWith(`sha256:${asked}`)
      ? (names[0] ?? asked)
      : asked;
