import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';
import { fieldsOf } from '../health/files.ts';

/** Asks the system bus: arguments of busctl(1) in, its JSON out. Tests give their own. */
export type Bus = (args: readonly string[]) => Promise<string>;

const LOGIND = ['org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager'];
const NETWORK_MANAGER = [
  'org.freedesktop.NetworkManager',
  '/org/freedesktop/NetworkManager',
  'org.freedesktop.NetworkManager',
];

/** The bus of the running system; null where there is none, and so nobody on it. Throws `failed`. */
export function systemBus(runFolder = '/run'): Bus | null {
  if (!existsSync(`${runFolder}/dbus/system_bus_socket`)) return null;
  return async (args) => {
    try {
      const { stdout } = await promisify(execFile)('busctl', ['--json=short', '--auto-start=no', ...args], {
        timeout: 20_000,
      });
      return stdout;
    } catch (error) {
      if (errnoCode(error) === 'ENOENT') throw new AtomicError('not-found', 'there is no busctl', { cause: error });
      const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
      // Nobody on the bus by that name: whoever would be asked does not run here.
      const absent = /not provided by any|does not exist|NameHasNoOwner|ServiceUnknown|not running/i.test(said);
      throw new AtomicError(absent ? 'not-found' : 'failed', said.split('\n')[0] ?? '', { cause: error });
    }
  };
}

/** What busctl's JSON holds; null for anything else. */
function dataOf(json: string): unknown {
  const value: unknown = JSON.parse(json);
  return fieldsOf(value)?.get('data') ?? null;
}

/** The rows of a method's answer that is one array of structs, as text. Throws `failed` for anything else. */
function rowsOf(json: string): string[][] {
  const data = dataOf(json);
  const rows: unknown = Array.isArray(data) ? data[0] : null;
  if (!Array.isArray(rows)) throw new AtomicError('failed', 'logind answers with something else than a list');
  return rows.map((row: unknown) => (Array.isArray(row) ? row.map(String) : []));
}

/** Who is logged in with a terminal or a screen, such as `ann on pts/0`. Throws `failed`. */
export async function loggedIn(bus: Bus): Promise<string[]> {
  const people: string[] = [];
  for (const [, , user = '', , path = ''] of rowsOf(await bus(['call', ...LOGIND, 'ListSessions']))) {
    const properties = ['Class', 'State', 'Type', 'TTY'];
    let lines: string[];
    try {
      const said = await bus(['get-property', LOGIND[0] ?? '', path, 'org.freedesktop.login1.Session', ...properties]);
      lines = said.trim().split('\n');
    } catch (error) {
      // A session that has just ended.
      if (error instanceof AtomicError && /Unknown object|No such|UnknownObject/i.test(error.message)) continue;
      throw error;
    }
    const [kind = '', state, type = '', tty = ''] = lines.map((line) => String(dataOf(line)));
    const screen = ['x11', 'wayland', 'mir'].includes(type);
    if (!kind.startsWith('user') || kind === 'user-incomplete' || state === 'closing') continue;
    if (tty !== '' || screen) people.push(`${user} on ${tty === '' ? type : tty}`);
  }
  return people;
}

/** Who holds off shutdowns, such as `dnf (installing)`; those that only delay one do not count. Throws `failed`. */
export async function shutdownInhibitors(bus: Bus): Promise<string[]> {
  const rows = rowsOf(await bus(['call', ...LOGIND, 'ListInhibitors']));
  return rows.flatMap(([what = '', who = '', why = '', mode = '']) =>
    what.split(':').includes('shutdown') && mode.startsWith('block') ? [why === '' ? who : `${who} (${why})`] : [],
  );
}

/** Whether NetworkManager says, or guesses, that the connection costs by volume. Without it: no. */
export async function meteredConnection(bus: Bus): Promise<boolean> {
  try {
    const data = dataOf(await bus(['get-property', ...NETWORK_MANAGER, 'Metered']));
    // NM_METERED_YES and NM_METERED_GUESS_YES.
    return data === 1 || data === 3;
  } catch (error) {
    if (error instanceof AtomicError) return false;
    throw error;
  }
}
