import { AtomicError } from '@atomic/ostree';
import type { DeployedUnit, HealthCheck } from '../lifecycle/record.ts';
import { containerName } from '../quadlet/convert/resources.ts';
import { type GeneratedUnit, generate } from '../quadlet/generate.ts';
import { UnitFile, UnitSyntaxError } from '../quadlet/unit-file.ts';
import { quadletType, stem } from '../quadlet/unit-names.ts';
import type { AppEngine } from './app-engine.ts';
import type { Bundle } from './bundle.ts';
import type { AppProbe } from './manifest.ts';
import { nameSource, namespaced, renameReferences } from './namespace.ts';
import { asItIs, renderText, unitEscape } from './render.ts';
import type { Values } from './values.ts';

/** Where an app's files go on this machine. */
export interface AppPlaces {
  /** Units: /etc/systemd/system. */
  units: string;
  /** Configuration of all apps: /etc; each has a folder there. */
  config: string;
}

export interface BuildOptions {
  /** The name it is installed under. */
  app: string;
  bundle: Bundle;
  values: Values;
  engine: Pick<AppEngine, 'kind' | 'surroundings'>;
  user: boolean;
  places: AppPlaces;
  /** Where the bundle's copy will lie. */
  sourceFolder: string;
}

/** An app with its values in, before its images are known. */
export interface AppSources {
  /** Quadlets under their own names, with drop-ins merged, named for the app. */
  quadlets: UnitFile[];
  /** Plain units, by their names on the machine. */
  units: UnitFile[];
  /** By their path below the app's folder of configuration. */
  config: Map<string, { content: Buffer; executable: boolean }>;
  /** Images the engine has to have. */
  images: string[];
}

function parse(text: string, name: string, path: string): UnitFile {
  try {
    return UnitFile.parse(text, name, path);
  } catch (error) {
    if (!(error instanceof UnitSyntaxError)) throw error;
    throw new AtomicError('invalid', `${path}:${error.line}: ${error.message}`);
  }
}

/** What templates may name: the parameters, and where the app is. */
function templateValues({ app, bundle, values, places }: BuildOptions): ReadonlyMap<string, string> {
  const config = `${places.config}/${app}`;
  const named = Object.entries(bundle.manifest.parameters).flatMap(([name, { type }]): [string, string][] => {
    const value = values.values[name]?.value;
    // A secret is known to templates by the path of its file only.
    if (type === 'secret') return [[name, `${config}/secrets/${name}`]];
    return value === undefined ? [] : [[name, value]];
  });
  return new Map([['app', app], ['version', bundle.manifest.version], ['config', config], ...named]);
}

const TEXT = (content: Buffer): boolean => !content.includes(0);

/** Renders all files of a bundle. Throws `invalid` with file and line. */
export function renderApp(options: BuildOptions): AppSources {
  const { app, bundle, places, engine } = options;
  const values = templateValues(options);
  const quadlets = new Map<string, UnitFile>();
  const units = new Map<string, UnitFile>();
  const config: AppSources['config'] = new Map();
  const dropIns: { source: string; file: UnitFile }[] = [];
  for (const [path, { content, executable }] of bundle.files) {
    const [folder, name = '', dropIn] = path.split('/');
    if (folder === 'config') {
      const rendered = TEXT(content)
        ? Buffer.from(renderText(content.toString('utf8'), path, values, asItIs))
        : content;
      config.set(path.slice('config/'.length), { content: rendered, executable });
    } else if (folder === 'quadlets' || folder === 'units') {
      const text = renderText(content.toString('utf8'), path, values, unitEscape(path));
      // Relative paths in a source are below the app's folder of configuration.
      const file = parse(text, name, folder === 'units' ? path : `${places.config}/${app}/${dropIn ?? name}`);
      if (dropIn !== undefined) dropIns.push({ source: name.replace(/\.d$/, ''), file });
      else if (folder === 'quadlets') quadlets.set(name, file);
      else units.set(name, file);
    }
  }
  for (const { source, file } of dropIns) {
    const target = quadlets.get(source);
    if (target === undefined)
      throw new AtomicError('invalid', `quadlets/${source}.d is for a source that is not there`);
    target.merge(file);
  }
  const names = new Map([...units.keys()].map((name) => [name, namespaced(app, name)]));
  for (const source of quadlets.values()) {
    nameSource(source, app);
    renameReferences(source, names);
  }
  const sources = [...quadlets.values()];
  // What units are made of sources must be known before plain units can name them.
  for (const { name, source } of made(options, sources, new Map())) names.set(source, name);
  for (const unit of units.values()) {
    renameReferences(unit, names);
    unit.name = names.get(unit.name) ?? unit.name;
  }
  if (engine.kind === 'docker' && sources.some(({ name }) => quadletType(name) === 'kube')) {
    throw new AtomicError('unsupported', `${app} plays Kubernetes YAML, which needs podman`);
  }
  return { quadlets: sources, units: [...units.values()], config, images: imagesOf(sources) };
}

/** The images named in sources, `.image` sources' among them; not those that are built. */
function imagesOf(sources: readonly UnitFile[]): string[] {
  const found = sources.flatMap((source) => {
    const type = quadletType(source.name);
    if (type === 'image') return [source.value('Image', 'Image') ?? ''];
    const image = type === 'container' ? source.value('Container', 'Image') : undefined;
    return image === undefined || /\.(image|build)$/.test(image) ? [] : [image];
  });
  return [...new Set(found)].filter((image) => image !== '');
}

/** Makes the units; `pinned` maps an image's name to the one that will not move. */
function made(
  options: BuildOptions,
  sources: readonly UnitFile[],
  pinned: ReadonlyMap<string, string>,
): GeneratedUnit[] {
  const { engine, user, app } = options;
  const ready = sources.map((source) => {
    const type = quadletType(source.name);
    const image = type === 'container' ? source.value('Container', 'Image') : undefined;
    if (image === undefined) return source;
    const behind = sources.find(({ name }) => name === image && quadletType(name) === 'image');
    const pin = pinned.get(behind?.value('Image', 'Image') ?? image);
    if (pin === undefined) return source;
    const copy = UnitFile.parse(source.toString(), source.name, source.path);
    copy.set('Container', 'Image', pin);
    return copy;
  });
  // An image that is there already needs no unit that pulls it when the machine boots.
  const needed = ready.filter(
    ({ name }) =>
      quadletType(name) !== 'image' || ready.some((other) => other.name !== name && other.toString().includes(name)),
  );
  const { units, errors } = generate(pinned.size === 0 ? ready : needed, {
    engine: engine.kind,
    ...engine.surroundings,
    user,
    exists: () => true,
  });
  const [error] = errors;
  if (error !== undefined) throw new AtomicError('invalid', `${app}: quadlets/${error.source}: ${error.message}`);
  return units.map((unit) => ({ ...unit, source: unit.source.split('/').at(-1) ?? '' }));
}

/** All that a deployment of an app puts on the machine. */
export interface BuiltApp {
  /** File name → text. */
  units: Map<string, string>;
  deployed: DeployedUnit[];
  health: Partial<HealthCheck>;
  /** Made by its units, in the engine. */
  networks: string[];
  volumes: string[];
  notes: string[];
}

/** Puts an app together, with the images it is to run. */
export function buildApp(options: BuildOptions, sources: AppSources, pinned: ReadonlyMap<string, string>): BuiltApp {
  const { app, bundle, user, sourceFolder } = options;
  const generated = made(options, sources.quadlets, pinned);
  const units = new Map<string, string>();
  const files: UnitFile[] = [];
  for (const { name, source, text } of generated) {
    const unit = UnitFile.parse(text, name);
    unit.set('Unit', 'SourcePath', `${sourceFolder}/quadlets/${source}`);
    files.push(unit);
  }
  files.push(...sources.units);
  for (const unit of files) {
    // What a power cut left half done is ended first.
    if (!user) unit.add('Unit', 'After', 'atomic-containers-recover.service');
    if (units.has(unit.name)) throw new AtomicError('invalid', `${app} has two sources of ${unit.name}`);
    units.set(
      unit.name,
      `# Of the app ${app} ${bundle.manifest.version}; atomic app status ${app}\n${unit.toString()}`,
    );
  }
  // Sources come in the order in which their units are needed; pods before what is in them.
  const order = (unit: UnitFile): number =>
    unit.has('Service', 'PIDFile') ? 1 : unit.value('Service', 'Type') === 'oneshot' ? 0 : 2;
  const deployed = files
    .toSorted((a, b) => order(a) - order(b))
    .map((unit) => ({ name: unit.name, enable: isEnabled(unit), start: isStarted(unit, files) }));
  const notes = deployed.some(({ enable }) => enable)
    ? []
    : [`nothing of ${app} has an [Install] group: it does not start at boot`];
  const resource = (type: string): string[] =>
    generated.filter((unit) => unit.type === type && unit.resource !== '').map((unit) => unit.resource);
  return {
    units,
    deployed,
    health: healthOf(options, generated, user),
    networks: resource('network'),
    volumes: resource('volume'),
    notes,
  };
}

const isTemplate = (unit: UnitFile): boolean => stem(unit.name).endsWith('@');

function isEnabled(unit: UnitFile): boolean {
  const wanted = ['WantedBy', 'RequiredBy', 'UpheldBy', 'Alias', 'Also'].some((key) => unit.has('Install', key));
  return wanted && (!isTemplate(unit) || unit.has('Install', 'DefaultInstance'));
}

/** Not templates, nor what a timer, a socket or a path starts. */
function isStarted(unit: UnitFile, all: readonly UnitFile[]): boolean {
  if (isTemplate(unit)) return false;
  return !all.some((other) => {
    const match = /\.(timer|socket|path)$/.exec(other.name);
    if (match === null) return false;
    const group = match[1] === 'timer' ? 'Timer' : match[1] === 'socket' ? 'Socket' : 'Path';
    const named = other.value(group, match[1] === 'socket' ? 'Service' : 'Unit');
    return (named ?? `${stem(other.name)}.service`) === unit.name;
  });
}

/** The manifest's probes with values in; the app's own units are watched anyhow. */
function healthOf(options: BuildOptions, generated: readonly GeneratedUnit[], user: boolean): Partial<HealthCheck> {
  const { health } = options.bundle.manifest;
  const values = templateValues(options);
  const render = (text: string): string => renderText(text, 'app.yaml (health)', values, asItIs);
  const unitOf = (name: string): string =>
    generated.find(({ source }) => source === name)?.name ?? namespaced(options.app, name);
  const probeOf = (probe: AppProbe): HealthCheck['probes'][number] => {
    switch (probe.type) {
      case 'http':
        return { type: 'http', url: render(probe.url) };
      case 'tcp': {
        const port = Number(render(String(probe.port)));
        if (!Number.isInteger(port) || port < 1 || port > 65_535) {
          throw new AtomicError('invalid', `app.yaml: health: ${probe.port} is no port`);
        }
        return { type: 'tcp', host: render(probe.host), port };
      }
      case 'exec':
        return { type: 'exec', command: probe.command.map(render) };
      case 'unit':
        return {
          type: 'exec',
          command: ['systemctl', ...(user ? ['--user'] : []), 'is-active', '--quiet', unitOf(probe.unit)],
        };
    }
  };
  return { seconds: health.seconds, settle: health.settle, probes: health.probes.map(probeOf) };
}

/** Names of the containers an app runs, where systemd does not have a say in them. */
export const containersOf = (sources: readonly UnitFile[]): string[] =>
  sources
    .filter(({ name }) => quadletType(name) === 'container')
    .map(containerName)
    .filter((name) => !name.includes('%'));
