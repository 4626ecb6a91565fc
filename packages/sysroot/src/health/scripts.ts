import { readdirSync, readFileSync } from 'node:fs';
import { errnoCode } from '@atomic/linux';
import type { CheckedMachine } from './machine.ts';
import type { CheckResult } from './records.ts';

/** Where greenboot has scripts, the tree's first (its script_runner). */
const FOLDERS = ['usr/lib/greenboot', 'etc/greenboot'];

/** The scripts of one of greenboot's folders (`check/required.d`, `green.d`…), those of folders below it too. */
export function findScripts(root: string, folder: string): string[] {
  return FOLDERS.flatMap((base) => {
    const top = `${root}/${base}/${folder}`;
    try {
      return readdirSync(top, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.name.endsWith('.sh') && !entry.isDirectory())
        .map((entry) => `${entry.parentPath}/${entry.name}`)
        .sort();
    } catch (error) {
      if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return [];
      throw error;
    }
  });
}

/** Names in DISABLED_HEALTHCHECKS=( … ) of greenboot.conf, a bash array. */
export function disabledScripts(root: string): Set<string> {
  let text: string;
  try {
    text = readFileSync(`${root}/etc/greenboot/greenboot.conf`, 'utf8');
  } catch (error) {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return new Set();
    throw error;
  }
  const uncommented = text.replace(/^\s*#.*$/gm, '');
  const [, items = ''] = /^\s*DISABLED_HEALTHCHECKS=\(([^)]*)\)/m.exec(uncommented) ?? [];
  return new Set([...items.matchAll(/"([^"]*)"|'([^']*)'|([^\s"']+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? ''));
}

/** Runs one script as greenboot does, by bash whatever its mode. `seconds` is what it may take. */
export async function runScript(
  machine: CheckedMachine,
  script: { path: string; name: string; required: boolean },
  seconds: number,
): Promise<CheckResult> {
  const start = machine.clock();
  // Both outputs through one pipe: what was said last is the last.
  const ran = await machine.run('sh', ['-c', 'exec bash "$0" 2>&1', script.path], { seconds });
  const result = { name: `script ${script.name}`, required: script.required, seconds: machine.clock() - start };
  switch (ran.kind) {
    case 'exited':
      if (ran.code === 0) return { ...result, state: 'ok', output: ran.output };
      return { ...result, state: 'failed', output: `exit status ${ran.code}${said(ran.output)}` };
    case 'killed':
      return { ...result, state: 'failed', output: `killed by ${ran.signal}${said(ran.output)}` };
    case 'timed-out':
      return { ...result, state: 'timed-out', output: `not done after ${Math.round(seconds)} s${said(ran.output)}` };
    case 'not-started':
      return { ...result, state: 'failed', output: ran.why };
  }
}

/** Under how it ended, what it printed. */
const said = (output: string) => (output === '' ? '' : `\n${output}`);
