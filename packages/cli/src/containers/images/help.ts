import type { Command } from 'commander';
import type { Context } from '../../context.ts';
import { isTerminal } from '../../terminal.ts';
import { findImages, onTerminal, openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';
import { carryOut, openVerb, type VerbFlags } from '../verb.ts';

/** Where images keep their manual. */
const FILES = ['/help.1', '/help.md', '/README.md'] as const;

/** Adds `atomic images help`. */
export function register(images: Command): void {
  add(images, 'help', 'show the manual that is in an image', [
    'atomic images help registry.example/web',
    'atomic images help --display web     only print the command of its label HELP',
  ])
    .argument('<image>', 'a name, or the beginning of an id')
    .option('--display', 'print what would be done, and do nothing')
    .option('-y, --yes', 'agree to what its command wants of this machine')
    .option('--storage <engine>', 'only in docker, podman or atomic')
    .action(containerAction(helpAction));
}

async function helpAction(ctx: Context, name: string, flags: VerbFlags): Promise<number> {
  const { findLabel, labelStep, nameOfImage, containerName, risksOf } = await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  await using backends = await openBackends(flags.storage);
  const [{ backend, image } = { backend: undefined, image: undefined }] = await findImages(backends, name);
  if (backend === undefined) return 1;
  for (const file of FILES) {
    const text = await backend.readFile(image.id, file);
    if (text === undefined) continue;
    if (flags.display === true) ctx.print(`# show ${file} of the image`);
    else await page(ctx, file, text);
    return 0;
  }
  const label = findLabel(image.labels, 'HELP');
  const engine = backends.engines.all().find((one) => one.images === backend);
  if (label === undefined || engine === undefined) {
    throw new AtomicError('not-found', `${name} has no manual: neither ${FILES.join(', ')} nor a label HELP`);
  }
  await using verb = await openVerb(ctx, { ...flags, storage: engine.kind });
  const context = verb.context(engine);
  const reference = nameOfImage(name, image);
  const step = labelStep(context, 'HELP', label, { name: containerName(name), image: reference, labels: image.labels });
  const plan = { name, image: reference, imageId: image.id, risks: risksOf(step.words), notes: [], steps: [step] };
  return await carryOut(ctx, context, plan, flags, `atomic images help ${name}`);
}

/** Through a pager on a terminal, and by man where it is one of its pages. */
async function page(ctx: Context, file: string, text: Uint8Array): Promise<void> {
  const { programPath } = await import('@atomic/containers');
  const man = file.endsWith('.1') ? programPath('man', process.env['PATH'] ?? '') : undefined;
  if (man === undefined && !isTerminal(1)) {
    ctx.write(text);
    return;
  }
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const { join } = await import('node:path');
  const folder = mkdtempSync(join(tmpdir(), 'atomic-help-'));
  try {
    const path = join(folder, file.slice(1));
    writeFileSync(path, text);
    const status = await onTerminal(ctx, man === undefined ? ['less', path] : [man, '-l', path]);
    if (status !== 0) ctx.write(text);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
