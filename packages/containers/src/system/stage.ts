import { existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import type { HealthCheck, Probe, Staged } from '../lifecycle/index.ts';
import { missingSources } from './bind-sources.ts';
import { defaultSpec } from './default-spec.ts';
import { apparmorProfile, type HostSecurity, hardenSpec } from './harden.ts';
import { stageHostFiles } from './hostfs.ts';
import { parseManifest, type SystemManifest } from './manifest.ts';
import { normaliseSpec } from './normalise.ts';
import { execWords } from './runtime-commands.ts';
import { parseRuntimeSpec, type RuntimeSpec } from './runtime-spec.ts';
import { renderTemplate, variablesOf } from './template.ts';
import { DEFAULT_UNIT, dropIn, execLines } from './unit.ts';
import { type ContainerUser, makeUserSpec } from './user-spec.ts';
import { type Surroundings, type Value, valuesOf } from './values.ts';

/** Where a system container's things are on this host. */
export interface SystemHost {
  /** '' for /. */
  root: string;
  /** Folders of unit files: written to, and looked at for units of the same name. */
  unitFolder: string;
  otherUnitFolders: readonly string[];
  tmpfilesFolder: string;
  runDirectory: string;
  stateDirectory: string;
  confDirectory: string;
  security: HostSecurity;
  /** Null: containers of the machine. */
  user: ContainerUser | null;
  atomic: string;
}

export interface StageOptions {
  name: string;
  place: string;
  /** The folder to fill; its rootfs is there. */
  folder: string;
  runtime: string;
  image: {
    name: string;
    digest: string;
    args: readonly string[];
    env: readonly string[];
    health?: HealthCheck | undefined;
  };
  set: Readonly<Record<string, string>>;
  uuid: string;
  /** Of the version before; null: it is new. */
  before: SystemDetails | null;
  /** The container whose rootfs it uses. */
  rootfsOf: string | null;
}

const value = z.object({ value: z.string(), origin: z.enum(['given', 'set', 'system', 'image']) });
const details = z.object({
  image: z.object({ name: z.string(), digest: z.string() }),
  runtime: z.string(),
  values: z.record(z.string(), value),
  uuid: z.string(),
  service: z.boolean(),
  user: z.boolean(),
  generatedTmpfiles: z.array(z.string()),
  rootfsOf: z.string().nullable(),
});
/** What a system container's record keeps besides what every deployment has. */
export type SystemDetails = z.output<typeof details>;

/** Null where it is none. */
export const parseDetails = (value: unknown): SystemDetails | null => details.safeParse(value).data ?? null;

/** What was set by somebody, to be set again. */
export const settingsOf = ({ values }: SystemDetails): Record<string, string> =>
  Object.fromEntries(
    Object.entries(values).flatMap(([name, { value, origin }]) => (origin === 'set' ? [[name, value]] : [])),
  );

/** The files an image exports; a link could lead out of it, into the machine, so none is followed. */
class Exports {
  readonly #folder: string | null;
  constructor(rootfs: string) {
    const folder = join(rootfs, 'exports');
    this.#folder = lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() === true ? folder : null;
  }
  read(name: string): string | undefined {
    const path = join(this.#folder ?? '', name);
    const stat = this.#folder === null ? undefined : lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    if (!stat.isFile()) throw new AtomicError('invalid', `/exports/${name} of the image is no plain file`);
    if (stat.size > MAX_TEXT) throw new AtomicError('invalid', `/exports/${name} of the image is larger than 4 MiB`);
    return readFileSync(path, 'utf8');
  }
}

const MAX_TEXT = 4 << 20;

/**
 * Fills a folder with what runs an image as a system container: config.json, its unit, lines for tmpfiles, files of the
 * host. Throws `invalid` for what is wrong with the image, and where variables have no value.
 */
export function stageSystem(host: SystemHost, options: StageOptions): Staged {
  const { name, folder, place, runtime, image } = options;
  const rootfs = join(folder, 'rootfs');
  const files = new Exports(rootfs);
  const manifest = parseManifest(files.read('manifest.json'));
  const unitText = manifest.noContainerService ? undefined : (files.read('service.template') ?? DEFAULT_UNIT);
  const around = surroundings(host, options, unitText ?? '');
  const values = valuesOf(around, options.set, manifest.defaultValues);
  const plain = new Map([...values].map(([key, { value }]) => [key, value]));
  const notes: string[] = [];

  const { spec, profile } = makeSpec(host, options, files, plain, notes);
  const staged = stageHostFiles(folder, manifest, plain);
  notes.push(...staged.notes);
  const mine = staged.files.filter(({ path }) => mayWrite(host, path));
  const foreign = staged.files.filter((file) => !mine.includes(file));
  if (foreign.length > 0)
    notes.push(`left out, since only root can put it there: ${foreign.map((file) => file.path).join(', ')}`);
  const wanted = new Texts(folder);
  writeFileSync(join(folder, 'config.json'), `${JSON.stringify(spec, null, 2)}\n`, { mode: 0o644 });
  if (profile) writeFileSync(join(folder, 'apparmor-profile'), apparmorProfile(name), { mode: 0o644 });

  const unit = `${name}.service`;
  if (unitText !== undefined) {
    if (options.before === null) refuseTakenUnit(host, unit);
    const used = userUnit(unitText, host.user !== null);
    wanted.add(
      `${host.unitFolder}/${unit}`,
      unit,
      renderTemplate(used, plain, { file: 'service.template', kind: 'line' }),
    );
    if (variablesOf(unitText).has('EXEC_START') || unitText === DEFAULT_UNIT) {
      const parser = host.security.apparmorParser ?? '';
      const text = dropIn({
        place,
        runtime,
        name,
        user: host.user !== null,
        profile: profile ? { path: `${place}/apparmor-profile`, parser } : null,
      });
      wanted.add(`${host.unitFolder}/${unit}.d/50-atomic.conf`, `${unit}.d/50-atomic.conf`, text);
    }
  }

  const template = files.read('tmpfiles.template');
  const generated =
    template === undefined
      ? missingSources(spec, { root: host.root, rootfs, before: options.before?.generatedTmpfiles ?? [] })
      : [];
  const tmpfiles = template === undefined ? generated.map((line) => `${line}\n`).join('') : template;
  const lines = renderTemplate(tmpfiles, plain, { file: 'tmpfiles.template', kind: 'line' });
  const hasTmpfiles = lines.trim() !== '';
  if (hasTmpfiles) wanted.add(`${host.tmpfilesFolder}/tmpfiles-${name}.conf`, `tmpfiles-${name}.conf`, lines);

  const unused = Object.keys(options.set).filter((key) => !mentions(files, manifest, unitText).has(key));
  if (unused.length > 0) notes.push(`nothing in the image uses ${unused.join(', ')}`);
  const kept: SystemDetails = {
    image: { name: image.name, digest: image.digest },
    runtime,
    values: recorded(values),
    uuid: options.uuid,
    service: unitText !== undefined,
    user: host.user !== null,
    generatedTmpfiles: generated,
    rootfsOf: options.rootfsOf,
  };
  return {
    files: [...wanted.files, ...mine],
    units: unitText === undefined ? [] : [{ name: unit, enable: /^\[Install\]/m.test(unitText), start: true }],
    tmpfiles: hasTmpfiles ? [`tmpfiles-${name}.conf`] : [],
    health: healthOf(manifest, image.health, plain, (command) => ({
      type: 'exec',
      command: execWords({ program: runtime, options: [] }, spec, name, command),
    })),
    details: kept,
    notes,
  };
}

/** Whether a file of the host can be put there: for those who are not root, below folders of their own. */
const mayWrite = ({ user, confDirectory, stateDirectory, runDirectory }: SystemHost, path: string): boolean =>
  user === null || [confDirectory, stateDirectory, runDirectory].some((folder) => path.startsWith(`${folder}/`));

/** Values of variables that say how things are can be told again at any time. */
function recorded(values: ReadonlyMap<string, Value>): Record<string, Value> {
  return Object.fromEntries([...values].filter(([key]) => key !== 'ALL_PROCESS_CAPABILITIES'));
}

/** Every variable that something of the image names. */
function mentions(files: Exports, manifest: SystemManifest, unit: string | undefined): Set<string> {
  const texts = [
    files.read('config.json.template') ?? '',
    files.read('tmpfiles.template') ?? '',
    unit ?? '',
    JSON.stringify(manifest),
    ...manifest.installedFilesTemplate.map((path) => files.read(`hostfs${path}`) ?? ''),
  ];
  return new Set([...texts.flatMap((text) => [...variablesOf(text)]), ...Object.keys(manifest.defaultValues)]);
}

/** Texts of ours for the host, as files of the deployment. */
class Texts {
  readonly files: { path: string; source: string; managed: boolean }[] = [];
  readonly #folder: string;
  constructor(folder: string) {
    this.#folder = folder;
  }
  add(path: string, source: string, text: string): void {
    mkdirSync(dirname(join(this.#folder, source)), { recursive: true });
    writeFileSync(join(this.#folder, source), text, { mode: 0o644 });
    this.files.push({ path, source, managed: true });
  }
}

function surroundings(host: SystemHost, options: StageOptions, unit: string): Surroundings {
  const { name, place, runtime, image, uuid } = options;
  const variables = variablesOf(unit);
  const pidFile = options.set['PIDFILE'] ?? `${host.runDirectory}/container-${name}.pid`;
  const detached = variables.has('PIDFILE') && variables.has('EXEC_STOPPOST');
  return {
    name,
    place,
    imageName: image.name,
    imageId: image.digest,
    uid: host.user?.uid ?? 0,
    gid: host.user?.gid ?? 0,
    runDirectory: host.runDirectory,
    stateDirectory: host.stateDirectory,
    confDirectory: host.confDirectory,
    runtime,
    atomic: host.atomic,
    uuid,
    exec: execLines({ runtime, name, place, pidFile, detached }),
  };
}

function makeSpec(
  host: SystemHost,
  { name, image }: StageOptions,
  files: Exports,
  values: ReadonlyMap<string, string>,
  notes: string[],
): { spec: RuntimeSpec; profile: boolean } {
  const template = files.read('config.json.template');
  const file = template === undefined ? 'config.json' : 'config.json.template';
  const text =
    template === undefined ? files.read('config.json') : renderTemplate(template, values, { file, kind: 'json' });
  const spec =
    text === undefined ? defaultSpec(image.args, image.env) : parseRuntimeSpec(normaliseSpec(text, file), file);
  spec.root.readonly ??= true;
  if (!spec.root.readonly) {
    throw new AtomicError('invalid', `${file}: root.readonly must be true: the files of images are shared`, {
      hint: 'the image has to keep what it writes in a mount of its own',
    });
  }
  if (spec.process.terminal === true) {
    spec.process.terminal = false;
    notes.push('the image wants a terminal; a service has none');
  }
  // Its own profile is loaded by root.
  const security = host.user === null ? host.security : { ...host.security, selinux: false, apparmorParser: null };
  const hardened = hardenSpec(spec, name, security);
  notes.push(...hardened.notes);
  if (host.user !== null) notes.push(...makeUserSpec(spec, host.user));
  return { spec: parseRuntimeSpec(spec, file), profile: hardened.profile };
}

/** A user's manager has another target to hang services on. */
const userUnit = (text: string, user: boolean): string =>
  user ? text.replace(/^(WantedBy|RequiredBy)=multi-user\.target$/gm, '$1=default.target') : text;

function refuseTakenUnit(host: SystemHost, unit: string): void {
  const taken = host.otherUnitFolders.map((folder) => `${folder}/${unit}`).find((path) => existsSync(host.root + path));
  if (taken === undefined) return;
  throw new AtomicError('exists', `this machine has a unit of that name already: ${taken}`, {
    hint: 'choose another name with --name',
  });
}

function healthOf(
  { health }: SystemManifest,
  ofImage: HealthCheck | undefined,
  values: ReadonlyMap<string, string>,
  inside: (command: readonly string[]) => Probe,
): Partial<HealthCheck> {
  if (health === undefined) {
    return ofImage === undefined
      ? {}
      : {
          ...ofImage,
          probes: ofImage.probes.map((probe) => (probe.type === 'exec' ? inside(probe.command) : probe)),
        };
  }
  const fill = (text: string): string => renderTemplate(text, values, { file: 'manifest.json: health', kind: 'line' });
  const probes: Probe[] = [];
  if (health.exec !== undefined) probes.push(inside(health.exec.map(fill)));
  if (health.http !== undefined) probes.push({ type: 'http', url: fill(health.http) });
  if (health.tcp !== undefined) {
    const [, host, port] = /^(?:(.+):)?(\d{1,5})$/.exec(fill(health.tcp)) ?? [];
    if (port === undefined) throw new AtomicError('invalid', `manifest.json: health.tcp: '${health.tcp}' is no port`);
    probes.push({ type: 'tcp', host: host ?? 'localhost', port: Number(port) });
  }
  const { seconds, interval, settle } = health;
  return {
    probes,
    ...(seconds === undefined ? {} : { seconds }),
    ...(interval === undefined ? {} : { interval }),
    ...(settle === undefined ? {} : { settle }),
  };
}
