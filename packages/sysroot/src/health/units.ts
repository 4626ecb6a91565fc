import type { CheckedMachine } from './machine.ts';

/** What systemd says of a unit (`systemctl show`), as far as it matters here. */
export interface UnitState {
  name: string;
  load: string;
  active: string;
  sub: string;
  file: string;
  type: string;
  result: string;
  restarts: number;
  /** Something is still to be done with it. */
  job: boolean;
  /** It ran and ended. */
  ran: boolean;
  /** It was to start, and a condition of its own said no. */
  unmet: boolean;
}

const PROPERTIES = [
  'LoadState',
  'ActiveState',
  'SubState',
  'UnitFileState',
  'Type',
  'Result',
  'NRestarts',
  'Job',
  'ExecMainExitTimestampMonotonic',
  'ConditionResult',
  'ConditionTimestampMonotonic',
];

/** What a question to systemd may take. */
const PATIENCE = { seconds: 20, characters: 1 << 18 };

/** The states of units, in their order; null when systemd does not answer. */
export async function unitStates(
  machine: Pick<CheckedMachine, 'run'>,
  names: readonly string[],
): Promise<UnitState[] | null> {
  if (names.length === 0) return [];
  const args = ['show', ...PROPERTIES.flatMap((name) => ['-p', name]), '--', ...names];
  const ran = await machine.run('systemctl', args, PATIENCE);
  if (ran.kind !== 'exited' || ran.code !== 0) return null;
  const blocks = ran.output.split(/\n{2,}/);
  return names.map((name, index) => {
    const fields = new Map<string, string>();
    for (const line of (blocks[index] ?? '').split('\n')) {
      const at = line.indexOf('=');
      if (at > 0) fields.set(line.slice(0, at), line.slice(at + 1));
    }
    const text = (key: string) => fields.get(key) ?? '';
    return {
      name,
      load: text('LoadState'),
      active: text('ActiveState'),
      sub: text('SubState'),
      file: text('UnitFileState'),
      type: text('Type'),
      result: text('Result'),
      restarts: Number(text('NRestarts')) || 0,
      job: !/^0?$/.test(text('Job')),
      ran: !/^0?$/.test(text('ExecMainExitTimestampMonotonic')),
      unmet: text('ConditionResult') === 'no' && !/^0?$/.test(text('ConditionTimestampMonotonic')),
    };
  });
}

/**
 * Whether a unit is as it should be. `waiting`: it may come to be; `idle`: nothing has started it so far. `gone`: the
 * tree no longer has it, somebody switched it off, or its own conditions keep it from starting. A service that did its
 * work and ended well is fine.
 */
export function judgeUnit(unit: UnitState): 'ok' | 'waiting' | 'idle' | 'failed' | 'gone' {
  const off = unit.load === 'not-found' || unit.load === 'masked' || unit.file === 'disabled' || unit.unmet;
  if (off && (unit.active === 'inactive' || unit.active === '')) return 'gone';
  switch (unit.active) {
    case 'active':
    case 'reloading':
    case 'refreshing':
      return unit.job ? 'waiting' : 'ok';
    case 'activating':
    case 'deactivating':
    case 'maintenance':
      return 'waiting';
    case 'inactive':
      if (unit.job) return 'waiting';
      if (unit.ran && unit.result === 'success' && unit.type === 'oneshot') return 'ok';
      return 'idle';
    default:
      return 'failed';
  }
}

/** A unit's state for people: `failed (exit-code)`. */
export const describeUnit = ({ load, active, sub, result, restarts }: UnitState): string => {
  if (load !== 'loaded' && load !== '') return load;
  const detail = active === 'failed' && result !== '' ? result : sub;
  return `${active}${detail === '' ? '' : ` (${detail})`}${restarts > 0 ? `, restarted ${restarts} times` : ''}`;
};

/** The services that run because the boot is to start them: those that are enabled. */
export async function runningServices(machine: CheckedMachine): Promise<string[]> {
  const args = ['list-units', '--type=service', '--state=running', '--plain', '--no-legend', '--no-pager', '--full'];
  const listed = await machine.run('systemctl', args, PATIENCE);
  if (listed.kind !== 'exited') return [];
  const names = listed.output
    .split('\n')
    .flatMap((line) => /^[A-Za-z0-9:_.\\@-]+\.service(?=\s)/.exec(line.trim()) ?? []);
  const states = await unitStates(machine, names);
  return (states ?? []).filter(({ file }) => file.startsWith('enabled')).map(({ name }) => name);
}
