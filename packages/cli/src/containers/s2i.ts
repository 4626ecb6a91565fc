import type { S2iOptions } from '@atomic/containers';
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { add, collect, containerAction } from './common.ts';
import { chooseEngine } from './quadlet.ts';

interface BuildOptions {
  engine?: string;
  env: string[];
  environmentFile?: string;
  incremental?: boolean;
  scriptsUrl?: string;
  destination?: string;
  assembleUser?: string;
  applicationName?: string;
  description?: string;
  exclude?: string;
  allowedUids?: string;
  pullPolicy?: string;
  network?: string;
  ref?: string;
  contextDir?: string;
  asDockerfile?: string;
}

/** docker unless podman is the only one: images are built where they are run. */
async function openEngine(wanted: string | undefined) {
  const { buildEngine } = await import('@atomic/containers');
  const { existsSync } = await import('node:fs');
  const kind =
    wanted ?? (existsSync('/var/run/docker.sock') || process.env['DOCKER_HOST'] !== undefined ? 'docker' : undefined);
  const engine = await chooseEngine(kind);
  return buildEngine(engine, engine);
}

async function s2iOptions(ctx: Context, options: BuildOptions): Promise<S2iOptions> {
  const { AtomicError } = await import('@atomic/ostree');
  const pull = options.pullPolicy;
  const policies = { 'if-not-present': 'missing', missing: 'missing', always: 'always', never: 'never' } as const;
  const policy = Object.entries(policies).find(([name]) => name === pull)?.[1];
  if (pull !== undefined && policy === undefined) {
    throw new AtomicError('usage', `--pull-policy must be always, never or if-not-present, but is '${pull}'`);
  }
  const env = options.env.map((word): [string, string] => {
    const equals = word.indexOf('=');
    if (equals > 0) return [word.slice(0, equals), word.slice(equals + 1)];
    throw new AtomicError('usage', `--env ${word}: it must be NAME=VALUE`);
  });
  return {
    incremental: options.incremental,
    env,
    environmentFile: options.environmentFile,
    scriptsUrl: options.scriptsUrl,
    destination: options.destination,
    assembleUser: options.assembleUser,
    displayName: options.applicationName,
    description: options.description,
    exclude: options.exclude === undefined ? undefined : new RegExp(options.exclude),
    allowedUids: options.allowedUids,
    pull: policy,
    network: options.network,
    showOutput: !ctx.quiet && !ctx.json,
    signal: ctx.signal,
  };
}

const withBuildOptions = (command: Command): Command =>
  command
    .option('--engine <engine>', 'docker or podman')
    .option('--incremental', 'keep what the image built before has kept (save-artifacts)')
    .option('-e, --env <name=value>', 'set in the image; may be repeated', collect, [])
    .option('-E, --environment-file <file>', 'NAME=value lines')
    .option('-s, --scripts-url <url>', 'image:///PATH or file:///FOLDER of assemble, run and save-artifacts')
    .option('-d, --destination <path>', 'where the builder wants sources (default: what it says, else /tmp)')
    .option('--assemble-user <user>', 'who assembles (default: what the builder says)')
    .option('-n, --application-name <name>', 'name shown for the image')
    .option('--description <text>', 'what it is')
    .option('--exclude <pattern>', 'a regular expression of paths that are left out')
    .option('-u, --allowed-uids <ranges>', 'users the builder may run as: 1-, 1000-2000')
    .option('-p, --pull-policy <policy>', 'of the builder: if-not-present (default), always, never')
    .option('--network <network>', 'of the steps of the build');

/** Adds `atomic s2i`. */
export function register(program: Command): void {
  const s2i = add(program, 's2i', 'images from sources, by builder images', [
    'atomic s2i build . registry.example/nodejs-builder my-app',
    'atomic s2i usage registry.example/nodejs-builder',
  ]);

  withBuildOptions(
    add(s2i, 'build', 'build an image of sources with a builder image', [
      'atomic s2i build . registry.example/nodejs-builder my-app',
      'atomic s2i build https://git.example/app.git#v2 registry.example/ruby-builder app:2 --incremental',
      'atomic s2i build . registry.example/ruby-builder --as-dockerfile build/Dockerfile',
    ]),
  )
    .argument('<source>', 'a folder, or a git repository as URL[#REF]')
    .argument('<builder>', 'the builder image')
    .argument('[tag]', 'name of the image; not needed with --as-dockerfile')
    .option('-r, --ref <ref>', 'branch or tag of the sources')
    .option('--context-dir <folder>', 'folder of the sources that is built')
    .option('--as-dockerfile <file>', 'only write this Dockerfile, and what it needs beside it')
    .action(
      containerAction(async (ctx, source: string, builder: string, tag: string | undefined, options: BuildOptions) => {
        const { buildFromSource, openSources, prepareBuild } = await import('@atomic/containers');
        const { AtomicError } = await import('@atomic/ostree');
        const engine = await openEngine(options.engine);
        const settings = await s2iOptions(ctx, options);
        using sources = await openSources(source, { ...options, signal: ctx.signal });
        if (options.asDockerfile !== undefined) {
          const { dirname, resolve } = await import('node:path');
          const dockerfile = resolve(options.asDockerfile);
          const folder = dirname(dockerfile);
          await prepareBuild({ source: sources, builder, tag, folder, dockerfile }, engine, settings);
          if (ctx.json) ctx.printJson({ dockerfile, context: folder });
          else ctx.print(`${dockerfile}: build it with ${engine.kind} build -f ${dockerfile} ${folder}`);
          return;
        }
        if (tag === undefined)
          throw new AtomicError('usage', 'the image needs a name', { hint: 'atomic s2i build SOURCE BUILDER TAG' });
        const built = await buildFromSource({ source: sources, builder, tag }, engine, settings);
        if (ctx.json) ctx.printJson(built);
        else ctx.print(`${built.tag} is built${built.incremental ? ', with what the one before has kept' : ''}`);
      }),
    );

  withBuildOptions(
    add(s2i, 'rebuild', 'build an image again, from what its labels say', ['atomic s2i rebuild my-app my-app:new']),
  )
    .argument('<image>', 'an image that was built so')
    .argument('[tag]', 'name of the new one (default: the same)')
    .action(
      containerAction(async (ctx, image: string, tag: string | undefined, options: BuildOptions) => {
        const { buildFromSource, builtFrom, openSources } = await import('@atomic/containers');
        const engine = await openEngine(options.engine);
        const { builder, source, contextDir, ref } = await builtFrom(image, engine);
        using sources = await openSources(source, { contextDir, ref, signal: ctx.signal });
        const built = await buildFromSource(
          { source: sources, builder, tag: tag ?? image },
          engine,
          await s2iOptions(ctx, options),
        );
        if (ctx.json) ctx.printJson(built);
        else ctx.print(`${built.tag} is built`);
      }),
    );

  add(s2i, 'usage', 'what a builder says of itself', ['atomic s2i usage registry.example/nodejs-builder'])
    .argument('<builder>', 'the builder image')
    .option('--engine <engine>', 'docker or podman')
    .action(
      containerAction(async (ctx, builder: string, options: { engine?: string }) => {
        const { builderUsage } = await import('@atomic/containers');
        const text = await builderUsage(builder, await openEngine(options.engine), { signal: ctx.signal });
        if (ctx.json) ctx.printJson({ builder, usage: text });
        else ctx.print(text);
      }),
    );
}
