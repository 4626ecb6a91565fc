import type { ShellDefinition, Shells } from '@atomic/containers';
import type { Context } from '../../context.ts';
import { places } from '../places.ts';
import { openVerb } from '../verb.ts';

export interface ShellFlags {
  name?: string;
  image?: string;
  package?: string[];
  file?: string;
  display?: boolean;
  yes?: boolean;
  assumeyes?: boolean;
  root?: boolean;
  storage?: string;
}

export interface OpenedShells extends AsyncDisposable {
  shells: Shells;
  /** The image is there, and whoever is asked agrees to what the shell wants. `newest`: asks the registry first. */
  ready(definition: ShellDefinition, what: string, newest?: boolean): Promise<void>;
}

export async function openShells(ctx: Context, flags: ShellFlags): Promise<OpenedShells> {
  const { createWords, requireConsent, risksOf, Shells } = await import('@atomic/containers');
  const { userInfo } = await import('node:os');
  const verb = await openVerb(ctx, flags);
  try {
    const engine = verb.backends.engines.pick();
    const { username: name, uid, gid, homedir: home } = userInfo();
    const shells = new Shells(engine, { name, uid, gid, home });
    const context = verb.context(engine);
    return {
      shells,
      ready: async (definition, what, newest = false) => {
        const { image } = definition;
        const local = await engine.images.find(image);
        if (local === undefined || newest) {
          if (!ctx.quiet) ctx.warn(`fetching ${image} by ${engine.kind}`);
          await engine.images.pull(image, { signal: ctx.signal }).catch((error: unknown) => {
            // What was made here is in no registry.
            if (local === undefined || ctx.signal.aborted) throw error;
          });
        }
        const digest = (await engine.images.find(image))?.id ?? '';
        const risks = risksOf(createWords(engine.program, shells.user, definition));
        const { yes, ask, consents } = context;
        await requireConsent({ what, image, digest, risks, yes, ask, consents });
      },
      [Symbol.asyncDispose]: () => verb[Symbol.asyncDispose](),
    };
  } catch (error) {
    await verb[Symbol.asyncDispose]();
    throw error;
  }
}

/** From the file named, else from the image on the command line, else from the usual files. */
export async function definitionFor(file: string | undefined, flags: ShellFlags): Promise<ShellDefinition> {
  const { parseDefinition, readDefinition } = await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  const { existsSync } = await import('node:fs');
  const { join } = await import('node:path');
  const { userConfiguration } = places();
  const home = userConfiguration ?? join(process.env['HOME'] ?? '/root', '.config/atomic');
  const usual = [join(home, 'shell.yaml'), '/etc/atomic/shell.yaml'].find((path) => existsSync(path));
  const path = file ?? (flags.image === undefined ? usual : undefined);
  if (path === undefined && flags.image === undefined) {
    throw new AtomicError('usage', 'nothing says of which image the shell shall be', {
      hint: `write a definition to ${join(home, 'shell.yaml')}, or say --image=IMAGE`,
    });
  }
  const given =
    path === undefined ? parseDefinition(JSON.stringify({ image: flags.image }), '--image') : readDefinition(path);
  const packages = [...given.packages, ...(flags.package ?? [])];
  const whole = { ...given, packages, image: flags.image ?? given.image, name: flags.name ?? given.name };
  return parseDefinition(JSON.stringify(whole), path ?? 'the options');
}
