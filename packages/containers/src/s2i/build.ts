import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { type DockerfileRecipe, type Script, writeDockerfile } from './dockerfile.ts';
import type { BuildEngine, BuilderImage } from './engine.ts';
import { type BuildSource, copySources, ownPath, readEnvironment } from './source.ts';

export interface S2iOptions {
  /** Keep what the image built before under that tag has kept. */
  incremental?: boolean | undefined;
  /** `NAME=value`, before those of `.s2i/environment`. */
  env?: readonly (readonly [string, string])[] | undefined;
  environmentFile?: string | undefined;
  /** image:///PATH, file:///PATH: before the sources' own scripts and the image's. */
  scriptsUrl?: string | undefined;
  destination?: string | undefined;
  assembleUser?: string | undefined;
  displayName?: string | undefined;
  description?: string | undefined;
  /** Paths of sources that are left out. */
  exclude?: RegExp | undefined;
  /** Users the builder may run as: `1-`, `1000-2000`, `5`; all when not said. */
  allowedUids?: string | undefined;
  pull?: 'missing' | 'always' | 'never' | undefined;
  /** `none`, `host`… */
  network?: string | undefined;
  showOutput?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

const LABEL = 'io.openshift.s2i.';

const label = (image: BuilderImage, name: string): string | undefined =>
  image.labels[`${LABEL}${name}`] ?? image.labels[`io.s2i.${name}`];
const variable = (image: BuilderImage, name: string): string | undefined =>
  image.env.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);

/** Where the image's own scripts are. Throws `unsupported` for what is not in it. */
function imageScripts(url: string | undefined, image: string): string | undefined {
  if (url === undefined) return undefined;
  const match = /^image:\/\/(\/.*)$/.exec(url);
  if (match?.[1] !== undefined) return plainPath(match[1].replace(/\/+$/, ''));
  throw new AtomicError('unsupported', `${image} has its scripts at ${url}`, {
    hint: 'fetch them into a folder and give it: --scripts-url=file:///FOLDER',
  });
}

/** A path that stands in a Dockerfile as it is. */
function plainPath(path: string): string {
  if (/^\/[\w./@+-]*$/.test(path) && !path.split('/').includes('..')) return path;
  throw new AtomicError('invalid', `${JSON.stringify(path)} is no plain absolute path`);
}

function plainUser(user: string): string {
  if (/^[\w.-]*(:[\w.-]+)?$/.test(user)) return user;
  throw new AtomicError('invalid', `${JSON.stringify(user)} is no user`);
}

/** Whether a numeric user is in a list of ranges. Throws `invalid` for a list that is none. */
export function isAllowedUser(user: string, ranges: string): boolean {
  const uid = /^(\d+)(:.*)?$/.exec(user)?.[1];
  return ranges.split(',').some((range) => {
    const match = /^\s*(?:(\d+)|(\d*)-(\d*))\s*$/.exec(range);
    if (match === null)
      throw new AtomicError('usage', `${range} is no range of users`, { hint: 'such as 1-, 1000-2000 or 5' });
    const [, only, from = '', to = ''] = match;
    // A name, or none, may be root.
    if (uid === undefined) return false;
    const number = Number(uid);
    if (only !== undefined) return number === Number(only);
    return number >= Number(from || 0) && number <= (to === '' ? Number.MAX_SAFE_INTEGER : Number(to));
  });
}

function requireAllowed(builder: BuilderImage, assembleUser: string, ranges: string): void {
  const onBuild = builder.onBuild.flatMap((line) => /^\s*USER\s+(\S+)/i.exec(line)?.[1] ?? []);
  const bad = [builder.user, assembleUser, ...onBuild].find((user) => !isAllowedUser(user, ranges));
  if (bad === undefined) return;
  throw new AtomicError(
    'permission',
    `${builder.name} runs as ${bad === '' ? 'root' : bad}, which --allowed-uids=${ranges} does not allow`,
  );
}

async function findBuilder(
  name: string,
  engine: BuildEngine,
  { pull = 'missing', signal }: S2iOptions,
): Promise<BuilderImage> {
  if (!/^[\w][\w./:@-]*$/.test(name)) throw new AtomicError('usage', `${JSON.stringify(name)} is no image`);
  if (pull === 'always') await engine.pull(name, signal);
  let builder = await engine.inspect(name);
  if (builder === undefined && pull === 'missing') {
    await engine.pull(name, signal);
    builder = await engine.inspect(name);
  }
  if (builder !== undefined) return builder;
  throw new AtomicError('not-found', `${engine.kind} has no image ${name}`);
}

const isScript = (name: string): boolean => /^[\w.-]+$/.test(name);

/** The sources' own scripts; undefined when they have none. Throws as {@link ownPath}. */
function ownScripts(sources: string): string | undefined {
  const folder = ownPath(sources, '.s2i/bin', 'folder');
  if (folder === undefined) return undefined;
  for (const name of readdirSync(folder).filter(isScript)) ownPath(sources, `.s2i/bin/${name}`, 'file');
  return folder;
}

/** Copies scripts beside the Dockerfile; returns the names that are there. */
function uploadScripts(folders: readonly string[], to: string): Set<string> {
  const found = new Set<string>();
  for (const folder of folders) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) {
      // The first folder's counts.
      if (found.has(name) || !isScript(name)) continue;
      mkdirSync(to, { recursive: true });
      // A link's own file: the mode would be set on the one of this machine.
      cpSync(join(folder, name), join(to, name), { dereference: true });
      chmodSync(join(to, name), 0o755);
      found.add(name);
    }
  }
  return found;
}

/**
 * Writes the Dockerfile of a build and its context (`upload/`) into a folder, which any engine builds without us.
 * Scripts: those of --scripts-url, then of the sources (.s2i/bin), then of the image. Throws `invalid` for a builder
 * without assemble and run.
 */
export async function prepareBuild(
  task: { source: BuildSource; builder: string; tag?: string | undefined; folder: string; dockerfile?: string },
  engine: BuildEngine,
  options: S2iOptions = {},
): Promise<{ builder: BuilderImage; incremental: boolean }> {
  const { source, folder, tag } = task;
  const builder = await findBuilder(task.builder, engine, options);
  const assembleUser = plainUser(options.assembleUser ?? label(builder, 'assemble-user') ?? builder.user);
  if (options.allowedUids !== undefined) requireAllowed(builder, assembleUser, options.allowedUids);
  const given = options.scriptsUrl;
  const own = imageScripts(label(builder, 'scripts-url') ?? variable(builder, 'STI_SCRIPTS_URL'), builder.name);
  const preferred = given?.startsWith('image://') === true ? imageScripts(given, builder.name) : undefined;
  if (given !== undefined && preferred === undefined && !given.startsWith('file://')) {
    throw new AtomicError('usage', `--scripts-url ${given} must be image:///PATH or file:///PATH`);
  }
  const uploads = join(folder, 'upload');
  rmSync(uploads, { recursive: true, force: true });
  copySources(source.folder, join(uploads, 'src'), options.exclude);
  const scripts = preferred === undefined ? ownScripts(source.folder) : undefined;
  const folders = [
    ...(given?.startsWith('file://') === true ? [given.slice('file://'.length)] : []),
    ...(scripts === undefined ? [] : [scripts]),
  ];
  const environment = ownPath(source.folder, '.s2i/environment', 'file');
  const uploaded = uploadScripts(folders, join(uploads, 'scripts'));
  const destination = plainPath(
    options.destination ?? label(builder, 'destination') ?? variable(builder, 'STI_LOCATION') ?? '/tmp',
  );
  const script = (name: string): Script => {
    if (uploaded.has(name)) return { path: `${destination.replace(/\/+$/, '')}/scripts/${name}`, uploaded: true };
    const where = preferred ?? own;
    if (where !== undefined) return { path: `${where}/${name}`, uploaded: false };
    throw new AtomicError('invalid', `${builder.name} is no builder: it does not say where its ${name} is`, {
      hint: `its label ${LABEL}scripts-url says so; or put ${name} into .s2i/bin of the sources`,
    });
  };
  const previous = options.incremental === true && tag !== undefined ? await engine.inspect(tag) : undefined;
  const recipe: DockerfileRecipe = {
    builder,
    destination,
    assemble: script('assemble'),
    run: script('run'),
    previous: previous === undefined ? undefined : { image: previous.name, saveArtifacts: script('save-artifacts') },
    uploadsScripts: uploaded.size > 0,
    env: [
      ...(environment === undefined ? [] : readEnvironment(environment)),
      ...(options.environmentFile === undefined ? [] : readEnvironment(options.environmentFile)),
      ...(options.env ?? []),
    ],
    labels: labelsOf(source, builder, options),
    assembleUser,
    user: plainUser(builder.user),
  };
  const path = task.dockerfile ?? join(folder, 'Dockerfile');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, writeDockerfile(recipe));
  return { builder, incremental: previous !== undefined };
}

function labelsOf(
  { location, contextDir, commit }: BuildSource,
  builder: BuilderImage,
  options: S2iOptions,
): [string, string][] {
  const { displayName, description } = options;
  const build = `${LABEL}build.`;
  return [
    [`${build}image`, builder.name],
    [`${build}source-location`, location],
    ...(contextDir === '.' ? [] : [[`${build}source-context-dir`, contextDir] satisfies [string, string]]),
    ...Object.entries(commit ?? {}).map(([name, value]): [string, string] => [`${build}commit.${name}`, value]),
    ...(displayName === undefined ? [] : [['io.k8s.display-name', displayName] satisfies [string, string]]),
    ...(description === undefined ? [] : [['io.k8s.description', description] satisfies [string, string]]),
  ];
}

/** Builds an image of sources with a builder image, by the engine. Nothing but the image is left. */
export async function buildFromSource(
  task: { source: BuildSource; builder: string; tag: string },
  engine: BuildEngine,
  options: S2iOptions = {},
): Promise<{ tag: string; builder: string; incremental: boolean }> {
  if (!/^[\w][\w./:-]*$/.test(task.tag))
    throw new AtomicError('usage', `${JSON.stringify(task.tag)} is no name of an image`);
  const folder = mkdtempSync(join(tmpdir(), 'atomic-s2i-'));
  try {
    const { builder, incremental } = await prepareBuild({ ...task, folder }, engine, options);
    const network = options.network === undefined ? [] : [`--network=${options.network}`];
    await engine.build(folder, task.tag, { args: network, show: options.showOutput ?? false, signal: options.signal });
    return { tag: task.tag, builder: builder.name, incremental };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a builder says of itself. Throws `invalid` where it has no scripts. */
export async function builderUsage(name: string, engine: BuildEngine, options: S2iOptions = {}): Promise<string> {
  const builder = await findBuilder(name, engine, options);
  const where = imageScripts(label(builder, 'scripts-url') ?? variable(builder, 'STI_SCRIPTS_URL'), builder.name);
  if (where === undefined)
    throw new AtomicError('invalid', `${name} is no builder: it has no label ${LABEL}scripts-url`);
  return await engine.run(name, [`${where}/usage`], options.signal);
}

/** What an image was built from, so that it can be built again. Throws `invalid` for one that was not built so. */
export async function builtFrom(
  image: string,
  engine: BuildEngine,
): Promise<{ builder: string; source: string; contextDir: string | undefined; ref: string | undefined }> {
  const found = await engine.inspect(image);
  if (found === undefined) throw new AtomicError('not-found', `${engine.kind} has no image ${image}`);
  const builder = label(found, 'build.image');
  const source = label(found, 'build.source-location');
  if (builder === undefined || source === undefined) {
    throw new AtomicError('invalid', `${image} does not say what it was built from`, {
      hint: `only images with the labels ${LABEL}build.… can be built again`,
    });
  }
  const ref = label(found, 'build.commit.ref');
  const contextDir = label(found, 'build.source-context-dir');
  return { builder, source, contextDir, ref: ref === 'HEAD' ? undefined : ref };
}
