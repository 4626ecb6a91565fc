import type { Engine, Scanner, ScanResult, VerbContext } from '@atomic/containers';
import { type Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { add, collect, containerAction } from './common.ts';
import { places } from './places.ts';
import { tableLines } from './table.ts';
import { openVerb, type VerbFlags } from './verb.ts';

interface ScanFlags extends VerbFlags {
  scanner?: string;
  scanType?: string;
  /** As the original says it. */
  scan_type?: string;
  scanner_args: string[];
  list?: boolean;
  scannerArgs: string[];
  rootfs: string[];
  all?: boolean;
  images?: boolean;
  containers?: boolean;
}

/** Adds `atomic scan`. */
export function register(program: Command): void {
  add(program, 'scan', 'let a scanner look through images, containers or folders', [
    'atomic scan --list                                 which scanners there are',
    'atomic scan registry.example/web',
    'atomic scan --scanner=clair --scan-type=cve web db',
    'atomic scan --rootfs=/srv/root --images',
    'atomic scan --display web                          only print the command',
  ])
    .argument('[names...]', 'images or containers')
    .option('--scanner <name>', 'which (default: default_scanner of /etc/atomic.conf, or the only one)')
    .option('--scan-type <type>', 'which of its scans')
    .option('--list', 'list the scanners')
    .option('--scanner-args <key=value>', 'for its environment; may be repeated', collect, [])
    .option('--rootfs <folder>', 'this folder; may be repeated', collect, [])
    .option('-a, --all', 'all images and all containers')
    .option('--images', 'all images')
    .option('--containers', 'all containers')
    .addOption(new Option('--scan_type <type>').hideHelp())
    .addOption(new Option('--scanner_args <key=value>').argParser(collect).default([]).hideHelp())
    .option('--display', 'print what would be done, and do nothing')
    .option('-y, --yes', 'agree to what the scanner wants of this machine')
    .option('--storage <engine>', 'docker or podman')
    .action(containerAction(scanAction));
}

interface Target {
  id: string;
  name: string;
  /** Fills a folder with what is scanned; undefined: the folder itself is. */
  unpack: ((folder: string) => Promise<void>) | undefined;
}

async function scanAction(ctx: Context, names: string[], flags: ScanFlags): Promise<number> {
  const { chooseScanner, listScanners, readConfiguration } = await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  const at = places();
  const scanners = listScanners(at.drops);
  if (flags.list === true) {
    listThem(ctx, scanners);
    return 0;
  }
  const { default_scanner } = readConfiguration(at.configuration);
  const chosen = chooseScanner(scanners, flags.scanner ?? default_scanner, flags.scanType ?? flags.scan_type);
  const more = [...flags.scannerArgs, ...flags.scanner_args].map((text): [string, string] => {
    const equals = text.indexOf('=');
    if (equals < 1) throw new AtomicError('usage', `--scanner-args must be KEY=VALUE, but is '${text}'`);
    return [text.slice(0, equals), text.slice(equals + 1)];
  });
  await using verb = await openVerb(ctx, flags);
  const engine = verb.backends.engines.pick();
  const targets = await targetsOf(engine, names, flags, ctx.signal);
  if (targets.length === 0) throw new AtomicError('usage', 'name what to scan, or say --images, --containers or --all');
  const results = await scan(ctx, verb.context(engine), chosen, targets, Object.fromEntries(more), flags);
  if (results === undefined) return 0;
  if (ctx.json) ctx.printJson(results);
  else for (const one of results) print(ctx, one);
  return results.length === targets.length && results.every(({ successful }) => successful) ? 0 : 1;
}

function listThem(ctx: Context, scanners: readonly Scanner[]): void {
  if (ctx.json) {
    ctx.printJson(scanners);
    return;
  }
  const rows = scanners.flatMap((one) => one.scans.map((scan) => ({ ...one, scan })));
  const lines = tableLines(rows, [
    { title: 'SCANNER', value: ({ name }) => name },
    { title: 'IMAGE', value: ({ image }) => image },
    { title: 'SCAN TYPE', value: ({ scan, defaultScan }) => `${scan.name}${scan.name === defaultScan ? ' *' : ''}` },
    { title: 'WHAT FOR', value: ({ scan }) => scan.description },
  ]);
  for (const line of lines) ctx.print(line);
}

async function targetsOf(
  engine: Engine,
  names: readonly string[],
  flags: ScanFlags,
  signal: AbortSignal,
): Promise<Target[]> {
  const { unpackRoot } = await import('@atomic/containers');
  const { AtomicError } = await import('@atomic/ostree');
  const { containers, images } = engine;
  const image = (id: string, name: string): Target => ({
    id,
    name,
    unpack: async (folder) => {
      await using container = await images.unstarted(id);
      await unpackRoot(await images.rootTar(container.id, signal), folder, signal);
    },
  });
  const container = (id: string, name: string): Target => ({
    id,
    name,
    unpack: async (folder) => unpackRoot(await images.rootTar(id, signal), folder, signal),
  });
  const targets: Target[] = [];
  for (const name of names) {
    const one = await containers.find(name);
    const found = one === undefined ? await images.find(name) : undefined;
    if (one !== undefined) targets.push(container(one.Id, name));
    else if (found !== undefined) targets.push(image(found.id, name));
    else throw new AtomicError('not-found', `${engine.kind} has neither a container nor an image '${name}'`);
  }
  const all = flags.all === true;
  if (all || flags.images === true)
    for (const {
      id,
      names: [name],
    } of await images.list())
      targets.push(image(id, name ?? id));
  if (all || flags.containers === true)
    for (const { id, name } of await containers.list()) targets.push(container(id, name));
  const { resolve } = await import('node:path');
  for (const folder of flags.rootfs) targets.push({ id: resolve(folder), name: resolve(folder), unpack: undefined });
  return targets;
}

/** Undefined when the plan was only shown. */
async function scan(
  ctx: Context,
  context: VerbContext,
  { scanner, args }: { scanner: Scanner; args: readonly string[] },
  targets: readonly Target[],
  more: Readonly<Record<string, string>>,
  flags: ScanFlags,
): Promise<ScanResult[] | undefined> {
  const { noteResults, quoteWords, readResult, requireConsent, risksOf, scanWords } = await import(
    '@atomic/containers'
  );
  const { runShown } = await import('./run-shown.ts');
  const { mkdirSync, mkdtempSync, rmSync } = await import('node:fs');
  const { join } = await import('node:path');
  const { engine, yes, ask, consents } = context;
  const state = join(places().state, 'scans');
  const folderOf = (target: Target): string => target.id.replace(/^sha256:/, '').replaceAll('/', '_');
  const time = new Date().toISOString();
  const output = join(state, 'results', time.replaceAll(/[:.]/g, '-'), scanner.name);
  if (flags.display === true) {
    const words = scanWords(engine.program, scanner, args, { input: '/run/atomic/scan', output, more });
    for (const target of targets) ctx.print(`# ${target.name} → /run/atomic/scan/${folderOf(target)}`);
    ctx.print(quoteWords(words));
    return undefined;
  }
  if ((await engine.images.find(scanner.image)) === undefined) {
    if (!ctx.quiet) ctx.warn(`fetching the scanner ${scanner.image}`);
    await engine.images.pull(scanner.image, { signal: ctx.signal });
  }
  const digest = (await engine.images.find(scanner.image))?.id ?? '';
  mkdirSync(state, { recursive: true });
  const input = mkdtempSync(join(state, 'input-'));
  try {
    const words = scanWords(engine.program, scanner, args, { input, output, more });
    const risks = risksOf(words).filter(({ id }) => !id.startsWith(`mount:${state}`));
    await requireConsent({
      what: `atomic scan --scanner=${scanner.name}`,
      image: scanner.image,
      digest,
      risks,
      yes,
      ask,
      consents,
    });
    const mounts: string[] = [];
    for (const target of targets) {
      const folder = join(input, folderOf(target));
      mkdirSync(join(output, folderOf(target)), { recursive: true });
      if (target.unpack === undefined) mounts.push('-v', `${target.name}:/scanin/${folderOf(target)}:ro`);
      else await target.unpack(folder);
      if (target.unpack === undefined) mkdirSync(folder);
    }
    const at = words.indexOf('run') + 1;
    const status = await runShown(ctx, [...words.slice(0, at), ...mounts, ...words.slice(at)]);
    if (status !== 0) ctx.warn(`the scanner ended with status ${status}`);
    const results: ScanResult[] = [];
    for (const target of targets) {
      try {
        results.push(readResult(join(output, folderOf(target)), { id: target.id, name: target.name }));
      } catch (error) {
        ctx.warn(error instanceof Error ? error.message : String(error));
      }
    }
    noteResults(join(state, 'scan_summary.json'), results);
    return results;
  } finally {
    rmSync(input, { recursive: true, force: true });
  }
}

function print(ctx: Context, { name, id, successful, findings, other, file }: ScanResult): void {
  ctx.print(`${name} (${id.replace(/^sha256:/, '').slice(0, 12)})`);
  if (!successful) ctx.print('  the scan was not successful');
  else if (findings.length === 0) ctx.print(other === null ? '  passed the scan' : `  ${JSON.stringify(other)}`);
  else {
    ctx.print('  the following issues were found:');
    for (const { title, severity, description } of findings) {
      ctx.print(`  ${severity === '' ? '' : `[${severity}] `}${title}`);
      if (ctx.verbose && description !== '') ctx.print(`      ${description}`);
    }
  }
  ctx.print(`  all of it: ${file}`);
}
