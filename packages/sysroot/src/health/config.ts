import { existsSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { DropIns, type Setting } from '../drop-ins.ts';
import { parseDuration } from '../duration.ts';

/** What a machine has to be like after a switch. */
export interface HealthConfig {
  /** Units that have to be active. */
  requiredUnits: string[];
  /** Units that should be. */
  wantedUnits: string[];
  /** From early boot until the verdict; a new deployment without one by then is bad. */
  deadlineSeconds: number;
  /** What one script may take. */
  scriptSeconds: number;
  /** Boots a new deployment gets to come to a verdict. */
  tries: number;
  /** Whether what was up before the switch has to be up again. */
  defaultChecks: boolean;
}

export const HEALTH_DEFAULTS: Readonly<HealthConfig> = {
  requiredUnits: [],
  wantedUnits: [],
  deadlineSeconds: 600,
  scriptSeconds: 60,
  tries: 3,
  defaultChecks: true,
};

/** The unit that judges a boot; a tree without it never ends a trial, so none is begun for it. */
export const HEALTH_UNIT = 'atomic-health-check.service';

const GROUP = 'Health';
const UNIT_NAME =
  /^[A-Za-z0-9:_.\\@-]{1,251}\.(service|socket|target|mount|automount|timer|path|swap|device|slice|scope)$/;

/**
 * Reads `health.d/*.conf` of /etc/atomic over those of /usr/lib/atomic below `root`. What cannot be used is left out and
 * said in `problems`: a typing error must not make a good boot a bad one.
 */
export function readHealthConfig(root: string): { config: HealthConfig; problems: string[] } {
  const problems: string[] = [];
  const say = (error: unknown) => void problems.push(error instanceof Error ? error.message : String(error));
  const config: HealthConfig = { ...HEALTH_DEFAULTS };
  try {
    const files = DropIns.read(root, 'health', undefined, say);
    for (const key of files.keys(GROUP)) {
      for (const setting of files.all(GROUP, key)) {
        try {
          apply(config, key, setting);
        } catch (error) {
          say(error);
        }
      }
    }
  } catch (error) {
    say(error); // a folder that cannot be read
  }
  return { config, problems };
}

/** How often a new deployment of this tree may be booted before its predecessor is; 0: it is not counted. */
export function healthTries(tree: string): number {
  if (!existsSync(`${tree}/usr/lib/systemd/system/${HEALTH_UNIT}`)) return 0;
  return readHealthConfig(tree).config.tries;
}

function apply(config: HealthConfig, key: string, { value: text, path }: Setting): void {
  const value = text.trim();
  const refuse = (why: string) => new AtomicError('invalid', `${path}: ${key}: ${why}`);
  switch (key) {
    case 'RequiredUnits':
      config.requiredUnits = addUnits(config.requiredUnits, value, refuse);
      return;
    case 'WantedUnits':
      config.wantedUnits = addUnits(config.wantedUnits, value, refuse);
      return;
    case 'DeadlineSec':
      config.deadlineSeconds = parseSeconds(value, refuse);
      return;
    case 'ScriptTimeoutSec':
      config.scriptSeconds = parseSeconds(value, refuse);
      return;
    case 'Tries':
      if (!/^[1-5]$/.test(value)) throw refuse(`'${value}' is no number from 1 to 5`);
      config.tries = Number(value);
      return;
    case 'DefaultChecks':
      if (/^(yes|true|on|1)$/i.test(value)) config.defaultChecks = true;
      else if (/^(no|false|off|0)$/i.test(value)) config.defaultChecks = false;
      else throw refuse(`'${value}' is neither yes nor no`);
      return;
    default:
      throw new AtomicError('invalid', `${path}: there is no setting ${key} in [${GROUP}]`);
  }
}

/** Files add to a list of units; an empty value empties it, as in units. */
function addUnits(units: readonly string[], value: string, refuse: (why: string) => Error): string[] {
  const names = value.split(/\s+/).filter((name) => name !== '');
  const bad = names.find((name) => !UNIT_NAME.test(name));
  if (bad !== undefined) throw refuse(`'${bad}' is not the name of a unit`);
  return names.length === 0 ? [] : [...new Set([...units, ...names])];
}

function parseSeconds(value: string, refuse: (why: string) => Error): number {
  const seconds = parseDuration(value);
  if (seconds < 1 || seconds > 86_400) throw refuse(`'${value}' is not between 1s and 24h`);
  return seconds;
}
