import { replaceFile } from '@atomic/ostree';
import { parseKargs } from '../kargs.ts';
import { type BlsEntry, readEntries } from './bls.ts';
import type { Bootloader } from './bootloader.ts';
import { createGrubEnv, readGrubEnv, updateGrubEnv } from './grub-env.ts';
import type { TrialPlan, TrialState } from './trial.ts';

/**
 * GRUB before 2.14 cannot read boot entries (`blscfg`), so a plain menu is written beside them, inside the folder that
 * the `loader` link swaps: GRUB's embedded configuration sets `root` and runs `configfile /boot/loader/grub.cfg`.
 * libostree 2022.7 refuses bootloader names it does not know, so its `[sysroot] bootloader` stays `none` and ours is
 * `[atomic] bootloader=grub` in the repository's config.
 */
export const GRUB_CONFIG = 'grub.cfg';

/** GRUB's shell knows single quotes as POSIX shells do. */
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** A word of a menu: `;`, `$` and blanks in it mean nothing. */
export const grubWord = (text: string): string => (/^[A-Za-z0-9_./:=,@%+-]+$/.test(text) ? text : quote(text));

/** Of a boot that is counted: a kernel that cannot go on restarts the machine, instead of waiting for somebody. */
export const TRIAL_KARGS = ['panic=10', 'rd.shell=0', 'rd.emergency=reboot'];

/** Counted boots: names as Fedora's GRUB and greenboot have them, and how many there were to begin with. */
const LEFT = 'boot_counter';
const SUCCESS = 'boot_success';
const TRIES = 'boot_tries';

/** Lies beside the menu, in the folder that the switch swaps. GRUB finds it with /boot a partition of its own or not. */
const ENVIRONMENT = 'grubenv';
const ENVIRONMENT_FOR_GRUB = `/boot/loader/${ENVIRONMENT}`;

const load = `load_env -f ${ENVIRONMENT_FOR_GRUB} ${LEFT} ${SUCCESS}`;

/** Without tries left the fallback is the default. A menu without its environment counts nothing. */
const chooseDefault = (fallback: number): string[] => [
  load,
  `if [ "$${SUCCESS}" = 0 -a "$${LEFT}" = 0 ]; then set default=${fallback}; fi`,
];

/** In the first entry's body: who picks another one by hand has not tried it. GRUB cannot subtract. */
function countDown(tries: number): string[] {
  const lines = [
    `  ${load}`,
    '  set trial=',
    `  if [ "$${SUCCESS}" = 0 ]; then`,
    `    set trial="${TRIAL_KARGS.join(' ')}"`,
  ];
  for (let left = tries; left > 0; left--)
    lines.push(`    ${left === tries ? 'if' : 'elif'} [ "$${LEFT}" = ${left} ]; then set ${LEFT}=${left - 1}`);
  lines.push('    fi', `    save_env -f ${ENVIRONMENT_FOR_GRUB} ${LEFT}`, '  fi');
  return lines;
}

/**
 * The menu for entries in boot order. The fallback is tried by itself when the first cannot be loaded, and with a
 * trial when its boots are used up.
 */
export function grubConfig(
  entries: readonly BlsEntry[],
  kargsOf: (entry: BlsEntry) => string[],
  trial: Pick<TrialPlan, 'tries' | 'fallback'> | null = null,
): string {
  const lines = [
    '# Written with the boot entries beside it; not meant to be edited.',
    'set timeout=1',
    'set default=0',
  ];
  if (entries.length > 1) lines.push(`set fallback=${trial?.fallback ?? 1}`);
  if (trial !== null) lines.push(...chooseDefault(trial.fallback));
  entries.forEach((entry, index) => {
    const counted = trial !== null && index === 0;
    lines.push(`menuentry ${quote(entry.get('title') ?? 'Linux')} --id ostree-${entry.get('version') ?? ''} {`);
    if (counted) lines.push(...countDown(trial.tries));
    const kargs = kargsOf(entry).map(grubWord);
    lines.push(`  linux ${[grubWord(entry.get('linux') ?? ''), ...(counted ? ['$trial'] : []), ...kargs].join(' ')}`);
    const initrds = entry.all('initrd');
    if (initrds.length > 0) lines.push(`  initrd ${initrds.map(grubWord).join(' ')}`);
    const devicetree = entry.get('devicetree');
    if (devicetree !== undefined) lines.push(`  devicetree ${grubWord(devicetree)}`);
    lines.push('}');
  });
  return `${lines.join('\n')}\n`;
}

/** Writes the menu for a folder of entries. */
export function writeGrubMenu(entriesFolder: string, path: string, trial: TrialPlan | null = null): void {
  const entries = readEntries(entriesFolder).map(({ entry }) => entry);
  const menu = grubConfig(entries, (entry) => parseKargs(entry.get('options') ?? ''), trial);
  replaceFile(path, menu, { mode: 0o644, sync: false });
}

/** The trial that the menu in a `loader.N` counts; null when there is none, or it is over. */
export function readGrubTrial(loader: string): TrialState | null {
  const variables = readGrubEnv(`${loader}/${ENVIRONMENT}`);
  if (variables?.get(SUCCESS) !== '0') return null;
  const number = (name: string) => Number(/^\d$/.exec(variables.get(name) ?? '')?.[0] ?? '0');
  return { tries: number(TRIES), left: number(LEFT) };
}

/** Ends it: the menu takes the first entry and counts nothing. */
export function endGrubTrial(loader: string): void {
  if (readGrubTrial(loader) !== null) updateGrubEnv(`${loader}/${ENVIRONMENT}`, new Map([[SUCCESS, '1']]));
}

export const grubMenu: Bootloader = {
  name: 'none',
  atomic: true,
  counts: true,
  write({ sysroot, bootVersion, trial }) {
    const loader = sysroot.layout.loader(bootVersion);
    const environment = `${loader}/${ENVIRONMENT}`;
    if (trial !== null && readGrubEnv(environment) === null) {
      const { tries, left } = trial;
      const variables = { [TRIES]: String(tries), [LEFT]: String(left), [SUCCESS]: '0' };
      createGrubEnv(environment, new Map(Object.entries(variables)));
    }
    writeGrubMenu(`${loader}/entries`, `${loader}/${GRUB_CONFIG}`, trial);
  },
};
