import type { Command } from 'commander';
import { add, collect, containerAction } from './common.ts';
import { register as registerUnitVerbs } from './quadlet-units.ts';

interface ScopeOptions {
  user?: boolean;
}

interface EngineOptions extends ScopeOptions {
  engine?: string;
}

/** Folders of sources: those in QUADLET_UNIT_DIRS, else the system's or the user's. */
async function folders({ user }: ScopeOptions): Promise<string[]> {
  const { searchFolders } = await import('@atomic/containers');
  const given = process.env['QUADLET_UNIT_DIRS'];
  if (given !== undefined && given !== '') return searchFolders({ kind: 'folders', folders: given.split(':') });
  if (user !== true) return searchFolders({ kind: 'system' });
  return searchFolders({
    kind: 'user',
    uid: process.getuid?.() ?? 0,
    runtime: process.env['XDG_RUNTIME_DIR'],
    config: await configHome(),
  });
}

async function configHome(): Promise<string> {
  const { homedir } = await import('node:os');
  return process.env['XDG_CONFIG_HOME'] ?? `${homedir()}/.config`;
}

/** Where sources are installed. */
async function installFolder({ user }: ScopeOptions): Promise<string> {
  const { ADMIN_FOLDER } = await import('@atomic/containers');
  const [first] = (process.env['QUADLET_UNIT_DIRS'] ?? '').split(':');
  if (first?.startsWith('/')) return first;
  return user === true ? `${await configHome()}/containers/systemd` : ADMIN_FOLDER;
}

/** What runs containers here: what is asked for, else podman, else docker. */
export async function chooseEngine(wanted: string | undefined): Promise<'podman' | 'docker'> {
  if (wanted === 'podman' || wanted === 'docker') return wanted;
  if (wanted !== undefined) {
    const { AtomicError } = await import('@atomic/ostree');
    throw new AtomicError('usage', `there is no engine ${wanted}`, { hint: 'podman or docker' });
  }
  const { existsSync } = await import('node:fs');
  return !existsSync('/usr/bin/podman') && existsSync('/usr/bin/docker') ? 'docker' : 'podman';
}

/** What runs the containers of units, with the program they call; of podman whether its `create` takes --ignore. */
type UnitEngine =
  | { engine: 'docker'; program: string }
  | { engine: 'podman'; program: string; ignores?: boolean }
  | { engine: 'runc'; program: string; runtime: string; state: string };

/** What generated units shall run: what is asked for, else the first of podman, docker, runc and crun. */
export async function generatorEngine(wanted: string | undefined): Promise<UnitEngine> {
  const { createIgnores, findRuntime, readConfiguration, UNIT_PROGRAMS } = await import('@atomic/containers');
  const { existsSync } = await import('node:fs');
  const { docker, podman, runc } = UNIT_PROGRAMS;
  const none = wanted === undefined && ![podman, docker].some((program) => existsSync(program));
  if (!none && wanted !== 'runc' && wanted !== 'crun') {
    const engine = await chooseEngine(wanted);
    return engine === 'docker'
      ? { engine, program: docker }
      : { engine, program: podman, ignores: await createIgnores(podman) };
  }
  const { places } = await import('./places.ts');
  const { configuration, state } = places();
  try {
    const runtime = findRuntime(wanted ?? readConfiguration(configuration).runtime);
    return { engine: 'runc', program: runc, runtime, state };
  } catch (error) {
    // A machine that runs no containers may still check sources for one that does.
    if (wanted === undefined) return { engine: 'podman', program: podman };
    throw error;
  }
}

async function reload({ user }: ScopeOptions, wanted: boolean): Promise<void> {
  const { Systemd } = await import('@atomic/containers');
  if (wanted) await new Systemd({ user: user === true }).reload();
}

const SCOPE = ['--user', "the user's own, not the system's"] as const;
const ENGINE = [
  '--engine <engine>',
  'what runs them: podman, docker, or runc or crun without an engine (default: the first that is installed)',
] as const;

/** Adds `atomic quadlet`. */
export function register(program: Command): void {
  const quadlet = add(program, 'quadlet', 'containers, volumes, networks and pods as units of systemd', [
    'atomic quadlet install web.container nginx.conf',
    'atomic quadlet validate web.container',
    'atomic quadlet print --units web.container',
  ]);

  add(quadlet, 'install', 'install sources, with files beside them, as one application', [
    'atomic quadlet install web.container',
    'atomic quadlet install ./shop    a folder',
    'atomic quadlet install shop.quadlets    several sources in one file, with --- between them',
  ])
    .argument('<path...>', 'sources, a folder of them, and files they use')
    .option(...SCOPE)
    .option('-r, --replace', 'also where there is one of that name')
    .option('--no-reload-systemd', 'do not have systemd read units anew')
    .action(
      containerAction(
        async (ctx, paths: string[], options: ScopeOptions & { replace?: boolean; reloadSystemd: boolean }) => {
          const { installQuadlets } = await import('@atomic/containers');
          const made = installQuadlets(paths, { folder: await installFolder(options), replace: options.replace });
          await reload(options, options.reloadSystemd);
          if (ctx.json) ctx.printJson(made);
          else for (const path of made) ctx.print(path);
        },
      ),
    );

  add(quadlet, 'list', 'list what is installed', ['atomic quadlet list', 'atomic quadlet list --user --json'])
    .alias('ls')
    .option(...SCOPE)
    .option('-f, --filter <filter>', 'name=PATTERN, status=STATE or pod=NAME; may be repeated', collect, [])
    .action(
      containerAction(async (ctx, options: ScopeOptions & { filter: string[] }) => {
        const { listQuadlets, Systemd } = await import('@atomic/containers');
        const { AtomicError } = await import('@atomic/ostree');
        const { matchesGlob } = await import('node:path');
        const all = listQuadlets(await folders(options));
        const services = new Systemd({ user: options.user === true });
        const states = services.running ? await services.states(all.map(({ unit }) => unit)) : [];
        const rows = all.map((one, index) => {
          const state = states[index];
          const status = state === undefined || state.load !== 'loaded' ? 'Not loaded' : `${state.active}/${state.sub}`;
          return { ...one, status };
        });
        const wanted = rows.filter((row) =>
          options.filter.every((filter) => {
            const [key = '', ...rest] = filter.split('=');
            const value = rest.join('=');
            if (key === 'name') return matchesGlob(row.name, value);
            if (key === 'status') return row.status === value;
            if (key === 'pod') return row.pod === value || row.pod === `${value}.pod`;
            throw new AtomicError('usage', `there is no filter ${key}`, { hint: 'name=, status= or pod=' });
          }),
        );
        if (ctx.json) {
          ctx.printJson(wanted);
          return;
        }
        const { tableLines } = await import('./table.ts');
        const lines = tableLines(wanted, [
          { title: 'NAME', value: ({ name }) => name },
          { title: 'UNIT NAME', value: ({ unit }) => unit },
          { title: 'PATH ON DISK', value: ({ path }) => path },
          { title: 'STATUS', value: ({ status }) => status },
          { title: 'APPLICATION', value: ({ app }) => app ?? '' },
          { title: 'POD', value: ({ pod }) => pod ?? '' },
        ]);
        for (const line of lines) ctx.print(line);
      }),
    );

  add(quadlet, 'print', 'print an installed source, or the units made of sources', [
    'atomic quadlet print web.container',
    'atomic quadlet print --units    all units, of all installed sources',
    'atomic quadlet print --units --engine=docker ./web.container    of a file, for docker',
  ])
    .argument('[source...]', 'names of installed sources, or files')
    .option(...SCOPE)
    .option('-u, --units', 'print the units')
    .option(...ENGINE)
    .action(
      containerAction(async (ctx, names: string[], options: EngineOptions & { units?: boolean }) => {
        const { loadSources, runGenerator } = await import('@atomic/containers');
        const { AtomicError } = await import('@atomic/ostree');
        const { basename, dirname, resolve } = await import('node:path');
        const where = names.some((name) => name.includes('/'))
          ? [...new Set(names.map((name) => dirname(resolve(name))))]
          : await folders(options);
        const wanted = new Set(names.map((name) => basename(name)));
        const { sources, problems } = loadSources(where);
        for (const name of wanted) {
          if (sources.some((source) => source.name === name)) continue;
          const problem = problems.find(({ file }) => basename(file) === name);
          throw new AtomicError(
            problem === undefined ? 'not-found' : 'invalid',
            problem?.message ?? `there is no ${name}`,
          );
        }
        const isWanted = (name: string): boolean => wanted.size === 0 || wanted.has(name);
        if (options.units !== true) {
          const texts = sources.filter(({ name }) => isWanted(name)).map((source) => source.toString());
          if (ctx.json) ctx.printJson(texts);
          else ctx.write(texts.join('\n'));
          return 0;
        }
        const run = runGenerator({
          folders: where,
          user: options.user,
          ...(await generatorEngine(options.engine)),
        });
        const units = run.units.filter(({ source }) => isWanted(basename(source)));
        const errors = run.errors.filter(({ source }) => isWanted(source));
        if (ctx.json) ctx.printJson({ units, warnings: run.warnings, errors });
        else for (const { name, text } of units) ctx.print(`---${name}---\n${text}`);
        for (const { source, message } of errors) ctx.warn(`error: ${source}: ${message}`);
        return errors.length === 0 ? 0 : 1;
      }),
    );

  add(quadlet, 'validate', 'check sources: syntax, keys, references, and what the engine cannot honour', [
    'atomic quadlet validate web.container data.volume',
    'atomic quadlet validate --engine=docker /etc/containers/systemd/web.container',
  ])
    .argument('<file...>', 'sources; those beside them count as there')
    .option(...SCOPE)
    .option(...ENGINE)
    .action(
      containerAction(async (ctx, files: string[], options: EngineOptions) => {
        const { checkQuadletSource, runGenerator } = await import('@atomic/containers');
        const { readFileSync } = await import('node:fs');
        const { basename, dirname, resolve } = await import('node:path');
        const run = runGenerator({
          folders: [...new Set(files.map((file) => dirname(resolve(file))))],
          user: options.user,
          ...(await generatorEngine(options.engine)),
        });
        const found = files.flatMap((file) => {
          const name = basename(file);
          const issues = checkQuadletSource(readFileSync(file, 'utf8'), name).map((issue) => ({ file, ...issue }));
          // What is told with its line is not told again.
          const error = issues.length === 0 ? run.errors.find(({ source }) => source === name) : undefined;
          return error === undefined ? issues : [{ file, line: undefined, message: error.message }];
        });
        const warnings = run.warnings.filter((text) => files.some((file) => text.includes(basename(file))));
        if (ctx.json) ctx.printJson({ errors: found, warnings });
        else {
          for (const warning of warnings) ctx.warn(warning);
          for (const { file, line, message } of found)
            ctx.print(`${file}${line === undefined ? '' : `:${line}`}: ${message}`);
        }
        return found.length === 0 ? 0 : 1;
      }),
    );

  add(quadlet, 'rm', 'remove sources, and what was installed with them', [
    'atomic quadlet rm web.container',
    'atomic quadlet rm shop    an application, by its name',
  ])
    .argument('<name...>', 'sources or applications')
    .option(...SCOPE)
    .option('-f, --force', 'also when its units run: they are stopped first')
    .option('-i, --ignore', 'what is not there is no error')
    .option('--no-reload-systemd', 'do not have systemd read units anew')
    .action(
      containerAction(
        async (
          ctx,
          names: string[],
          options: ScopeOptions & { force?: boolean; ignore?: boolean; reloadSystemd: boolean },
        ) => {
          const { planRemoval, removeQuadlets, Systemd } = await import('@atomic/containers');
          const { AtomicError } = await import('@atomic/ostree');
          const folder = await installFolder(options);
          const there = names.filter((name) => {
            if (options.ignore !== true) return true;
            try {
              return planRemoval([name], folder).files.length >= 0;
            } catch (error) {
              if (error instanceof AtomicError && error.code === 'not-found') return false;
              throw error;
            }
          });
          const removal = planRemoval(there, folder);
          const services = new Systemd({ user: options.user === true });
          const running = (services.running ? await services.states(removal.units) : [])
            .filter(({ active }) => active === 'active' || active === 'activating')
            .map(({ name }) => name);
          if (running.length > 0 && options.force !== true) {
            throw new AtomicError('failed', `${running.join(', ')} still run`, {
              hint: 'stop them first, or use --force',
            });
          }
          await services.stop(running);
          removeQuadlets(removal);
          await reload(options, options.reloadSystemd);
          if (ctx.json) ctx.printJson(removal);
          else for (const file of removal.files) ctx.print(file);
        },
      ),
    );

  add(quadlet, 'generator', 'make units of the installed sources, as a generator of systemd', [
    'atomic quadlet generator /run/systemd/generator',
    'QUADLET_UNIT_DIRS=$PWD atomic quadlet generator --dryrun',
  ])
    .argument('[folder...]', 'where units go; systemd gives three, the first is taken')
    .option(...SCOPE)
    .option(...ENGINE)
    .option('--dryrun', 'print the units instead')
    .action(
      containerAction(async (ctx, [folder]: string[], options: EngineOptions & { dryrun?: boolean }) => {
        const { runGenerator, writeUnits } = await import('@atomic/containers');
        const { AtomicError } = await import('@atomic/ostree');
        if (folder === undefined && options.dryrun !== true) {
          throw new AtomicError('usage', 'missing output directory argument');
        }
        const where = await folders(options);
        const run = runGenerator({ folders: where, user: options.user, ...(await generatorEngine(options.engine)) });
        for (const message of run.messages) ctx.warn(message);
        if (run.sources.length === 0) ctx.warn(`No files parsed from [${where.join(' ')}]`);
        if (options.dryrun === true) {
          if (ctx.json) ctx.printJson(run.units);
          else for (const { name, text } of run.units) ctx.print(`---${name}---\n${text}`);
        } else if (folder !== undefined) writeUnits(run, folder, 'atomic quadlet generator');
        return run.failed ? 1 : 0;
      }),
    );

  registerUnitVerbs(quadlet);
}
