import { AtomicError } from '@atomic/ostree';
import { explainApt } from '../../packages/apt-errors.ts';
import type { RunningScript } from '../manager.ts';

/** Follows dpkg's output (with --debug=2, which says what it executes) from script to script. */
export class ScriptFollower {
  #unpacking = '';

  /** The script a line says is begun; null when it says that none runs now; undefined when it says neither. */
  follow(line: string): RunningScript | null | undefined {
    const executed = /^D0+2: fork\/exec (\S+)/.exec(line)?.[1];
    if (executed !== undefined) {
      const file = executed.slice(executed.lastIndexOf('/') + 1);
      const [, name, script] = /^(.+)\.([a-z]+)$/.exec(file) ?? [];
      return name === undefined || script === undefined
        ? { package: this.#unpacking, script: file }
        : { package: name.replace(/:.*/, ''), script };
    }
    const preparing = /^Preparing to unpack \S*?([^/_\s]+)_/.exec(line)?.[1] ?? /^Unpacking ([^\s:]+)/.exec(line)?.[1];
    if (preparing !== undefined) this.#unpacking = preparing;
    return /^(Unpacking|Preparing to unpack|Setting up|Removing|Purging|Processing triggers|Selecting) /.test(line)
      ? null
      : undefined;
  }
}

const SCRIPTS: Readonly<Record<string, string>> = {
  'pre-installation': 'preinst',
  'post-installation': 'postinst',
  'pre-removal': 'prerm',
  'post-removal': 'postrm',
};

/** Why an installation failed: the package, its script and its last words, or what apt says. */
export function explainInstall(said: string): AtomicError | undefined {
  const output = said
    .split('\n')
    .filter((line) => !/^D0+2: /.test(line))
    .join('\n');
  const script =
    /(?:new|old|installed) (\S+) package (\S+) script subprocess (?:returned error exit status (\d+)|was killed by signal \(([^)]*)\))/.exec(
      output,
    );
  if (script !== null) {
    const [, name = '', kind = '', status, signal] = script;
    const how = status === undefined ? `was killed (${signal})` : `failed with status ${status}`;
    const words = lastWords(output.slice(0, script.index));
    return new AtomicError(
      'failed',
      `package '${name.replace(/:.*/, '')}': its ${SCRIPTS[kind] ?? kind} ${how}${words === '' ? '' : `: ${words}`}`,
      { hint: 'nothing was changed; leave the package out, or ask those who make it' },
    );
  }
  const clash =
    /trying to overwrite (?:shared )?'([^']+)',? which is (?:also in package|different from other instances of package) (\S+)/.exec(
      output,
    );
  if (clash !== null) {
    const archive = /dpkg: error processing archive \S*\/([^/_\s]+)_/.exec(output)?.[1];
    return new AtomicError(
      'invalid',
      `package '${archive ?? '?'}' has ${clash[1]}, which is in package '${clash[2]}', too`,
      {
        hint: 'the two cannot be together',
      },
    );
  }
  const unusable = /dpkg(?:-deb)?: error: (.*)/.exec(output) ?? /dpkg: error processing [^\n]*\n ([^\n]*)/.exec(output);
  const explained = explainApt(output, () => undefined);
  if (explained !== undefined && !/Sub-process .*dpkg returned an error/.test(explained.message))
    return forHost(explained);
  return unusable === null ? explained : new AtomicError('failed', `installing packages failed: ${unusable[1]}`);
}

/** The last line that a script, and not dpkg, wrote. */
function lastWords(output: string): string {
  const lines = output.trimEnd().split('\n');
  for (const line of lines.reverse()) {
    if (/^(dpkg: error processing|\(Reading database|$)/.test(line)) continue;
    if (/^(Setting up|Unpacking|Preparing to unpack|Removing|Selecting|Processing triggers) /.test(line)) return '';
    return line.trim().slice(0, 200);
  }
  return '';
}

/** apt's errors with hints for a machine, which has no treefile. */
export function forHost(error: AtomicError): AtomicError {
  if (error.hint === undefined || !/treefile|exclude-packages|--cachedir/.test(error.hint)) return error;
  const hint = /key|signature/.test(error.message)
    ? 'put the key below /etc/apt/keyrings and name it with Signed-By in /etc/apt/sources.list.d'
    : error.code === 'no-space'
      ? 'free some space: atomic host cleanup'
      : error.code === 'network'
        ? 'check the repositories in /etc/apt/sources.list.d'
        : 'the repositories may be ahead of the base: atomic host upgrade';
  return new AtomicError(error.code, error.message, { hint });
}
