/**
 * A systemctl for machines without systemd: it records what it is asked, and really starts and stops the commands of the
 * units below $SHIM_ROOT/etc/systemd/system. State is in $SHIM_STATE. Nothing is restarted by itself.
 */
import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const root = process.env['SHIM_ROOT'] ?? '';
const state = process.env['SHIM_STATE'] ?? '';
const folder = process.env['SHIM_UNITS'] ?? join(root, 'etc/systemd/system');

/** Settings of a unit with those of its drop-ins behind them. */
function settings(unit: string): Map<string, string[]> | null {
  const path = join(folder, unit);
  if (!existsSync(path)) return null;
  const drops = existsSync(`${path}.d`) ? readdirSync(`${path}.d`).map((name) => join(`${path}.d`, name)) : [];
  const found = new Map<string, string[]>();
  for (const file of [path, ...drops]) {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const at = line.indexOf('=');
      if (at <= 0 || line.startsWith('#')) continue;
      found.set(line.slice(0, at), [...(found.get(line.slice(0, at)) ?? []), line.slice(at + 1)]);
    }
  }
  return found;
}

const at = (unit: string, what: string): string => join(state, `${unit}.${what}`);
const text = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8').trim() : '');

function alive(unit: string): boolean {
  const pid = Number(text(at(unit, 'pid')));
  if (pid === 0) return false;
  try {
    process.kill(pid, 0);
    // A zombie has ended; its parent is this machine's init, which may be slow.
    return !/\) Z /.test(text(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}

const activeState = (unit: string): string => {
  if (alive(unit)) return 'active';
  const code = text(at(unit, 'exit'));
  return code === '' || code === '0' ? 'inactive' : 'failed';
};

/** Runs lines of a unit one after the other; false where one that matters failed. */
function run(unit: string, key: string): boolean {
  for (const line of settings(unit)?.get(key) ?? []) {
    const [, flag, command = ''] = /^(-?)(.*)$/.exec(line) ?? [];
    const { status } = spawnSync('sh', ['-c', command], { stdio: 'ignore' });
    if (status !== 0 && flag !== '-') return false;
  }
  return true;
}

function start(unit: string): boolean {
  const unitSettings = settings(unit);
  if (unitSettings === null) {
    process.stderr.write(`Failed to start ${unit}: Unit ${unit} not found.\n`);
    return false;
  }
  if (alive(unit)) return true;
  for (const need of wants(unit)) if (!start(need)) return false;
  rmSync(at(unit, 'exit'), { force: true });
  if (!run(unit, 'ExecStartPre')) {
    writeFileSync(at(unit, 'exit'), '1');
    return false;
  }
  const command = unitSettings.get('ExecStart')?.[0] ?? 'true';
  const log = openSync(at(unit, 'log'), 'a');
  const line = `${command}; echo $? > '${at(unit, 'exit')}.new'; mv '${at(unit, 'exit')}.new' '${at(unit, 'exit')}'`;
  const child = spawn('sh', ['-c', line], {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: unitSettings.get('WorkingDirectory')?.[0] ?? '/',
  });
  child.unref();
  writeFileSync(at(unit, 'pid'), String(child.pid));
  return true;
}

/** Units that a unit needs, and those that need it. */
const wants = (unit: string): string[] =>
  ['Requires', 'BindsTo'].flatMap((key) => settings(unit)?.get(key) ?? []).flatMap((line) => line.split(' '));
const needers = (unit: string): string[] =>
  readdirSync(folder).filter((other) => other.endsWith('.service') && wants(other).includes(unit));

function stop(unit: string): void {
  for (const other of needers(unit)) stop(other);
  if (alive(unit)) {
    run(unit, 'ExecStop');
    for (let i = 0; i < 60 && alive(unit); i++) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    try {
      process.kill(-Number(text(at(unit, 'pid'))), 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  run(unit, 'ExecStopPost');
  for (const what of ['pid', 'exit']) rmSync(at(unit, what), { force: true });
}

const linkOf = (unit: string): string => join(folder, 'multi-user.target.wants', unit);

function show(args: readonly string[], units: readonly string[]): void {
  const properties = args.flatMap((arg, i) => (args[i - 1] === '-p' ? [arg] : []));
  const blocks = units.map((unit) => {
    const active = activeState(unit);
    const all: Record<string, string> = {
      LoadState: settings(unit) === null ? 'not-found' : 'loaded',
      ActiveState: active,
      SubState: active === 'active' ? 'running' : active === 'failed' ? 'failed' : 'dead',
      UnitFileState: existsSync(linkOf(unit)) ? 'enabled' : 'disabled',
      Type: 'simple',
      Result: active === 'failed' ? 'exit-code' : 'success',
      NRestarts: '0',
      Job: '0',
      RequiredBy: settings(unit) === null ? '' : needers(unit).join(' '),
    };
    const value = (name: string): string => all[name] ?? '';
    return properties.map((name) => (args.includes('--value') ? value(name) : `${name}=${value(name)}`)).join('\n');
  });
  process.stdout.write(`${blocks.join('\n\n')}\n`);
}

function main(all: readonly string[]): number {
  mkdirSync(state, { recursive: true });
  const args = all.filter((arg) => !['--quiet', '--no-block', '--user'].includes(arg));
  const [verb = '', ...rest] = args;
  const split = rest.indexOf('--');
  const units = split < 0 ? rest : rest.slice(split + 1);
  if (!['show', 'is-enabled', 'reset-failed'].includes(verb))
    appendFileSync(join(state, 'calls'), `${[verb, ...units].join(' ')}\n`);
  switch (verb) {
    case 'show':
      show(rest.slice(0, split), units);
      return 0;
    case 'start':
      return units.every(start) ? 0 : 1;
    case 'stop':
      for (const unit of units) stop(unit);
      return 0;
    case 'enable':
      for (const unit of units) {
        mkdirSync(join(folder, 'multi-user.target.wants'), { recursive: true });
        if (!existsSync(linkOf(unit))) symlinkSync(join('..', unit), linkOf(unit));
      }
      return 0;
    case 'disable':
      for (const unit of units) {
        try {
          unlinkSync(linkOf(unit));
        } catch {
          // It was not enabled.
        }
      }
      return 0;
    case 'reset-failed':
      for (const unit of units) if (!alive(unit)) rmSync(at(unit, 'exit'), { force: true });
      return 0;
    case 'is-enabled':
      process.stdout.write(existsSync(linkOf(units[0] ?? '')) ? 'enabled\n' : 'disabled\n');
      return 0;
    default:
      return 0;
  }
}

process.exitCode = main(process.argv.slice(2));
