import type { KargsSource, Sysroot } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, collect, look, open, UNCHANGED } from './common.ts';
import { type RedeployFlags, redeploying, reportRedeployed, withRedeployOptions } from './redeploying.ts';

interface KargsFlags extends RedeployFlags {
  append?: string[];
  appendIfMissing?: string[];
  delete?: string[];
  deleteIfPresent?: string[];
  replace?: string[];
  editor?: boolean;
  deployIndex?: string;
  importProcCmdline?: boolean;
}

const HEAD = `# Current kernel arguments are shown below, and can be directly edited.
# Empty or commented lines (starting with '#') will be ignored.
# Individual kernel arguments should be separated by spaces, and the order
# is relevant.
# The 'ostree=' argument is made anew with each deployment.

`;

/** Adds `atomic host kargs`. */
export function register(host: Command): void {
  const command = add(host, 'kargs', 'show or change the kernel arguments', [
    'atomic host kargs',
    'atomic host kargs --append-if-missing=console=ttyS0 --reboot',
    'atomic host kargs --replace=loglevel=3=7 --delete=quiet',
    'atomic host kargs --editor',
  ]);
  withRedeployOptions(command, host)
    .option('--append <key=value>', 'append an argument; may be given several times', collect)
    .option('--append-if-missing <key=value>', 'the same, where it is not there yet', collect)
    .option('--delete <key=value>', 'remove an argument; KEY alone where it has one value', collect)
    .option('--delete-if-present <key=value>', 'the same, where it is there', collect)
    .option('--replace <key=value>', 'KEY=NEW, or KEY=VALUE=NEW where the key has several values', collect)
    .option('--editor', 'change them in an editor ($VISUAL, $EDITOR, vi)')
    .option('--deploy-index <index>', 'start from those of another deployment')
    .option('--import-proc-cmdline', 'start from those of the running kernel (/proc/cmdline)')
    .action(action(run));
}

async function run(ctx: Context, options: KargsFlags): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  const { append, appendIfMissing, deleteIfPresent, replace, editor } = options;
  const edits = { append, appendIfMissing, delete: options.delete, deleteIfPresent, replace };
  const editing = Object.values(edits).some((list) => list !== undefined);
  const refuse = (message: string) => new AtomicError('usage', message);
  if (editor && editing) {
    throw refuse(
      'Cannot specify --editor with --replace, --delete, --append, --delete-if-present or --append-if-missing',
    );
  }
  if (options.delete !== undefined && replace !== undefined) throw refuse('Cannot specify both --delete and --replace');
  if (options.importProcCmdline && options.deployIndex !== undefined) {
    throw refuse('Cannot specify both --import-from-proc-cmdline and --deploy-index');
  }
  if (options.importProcCmdline && options.os !== undefined) {
    throw refuse('Cannot specify both osname and --import-from-proc-cmdline');
  }
  if (options.deployIndex !== undefined && !/^\d{1,6}$/.test(options.deployIndex)) {
    throw refuse(`Invalid deployment index: ${options.deployIndex}`);
  }
  const source: KargsSource = {
    os: options.os,
    index: options.deployIndex === undefined ? undefined : Number(options.deployIndex),
    commandLine: options.importProcCmdline
      ? (await import('node:fs')).readFileSync('/proc/cmdline', 'utf8')
      : undefined,
  };
  if (!editing && !editor) {
    if (options.reboot) throw refuse('Cannot reboot when kernel arguments not changed');
    return await show(ctx, await look(options), source);
  }
  const { changeKargs, currentKargs, editKargs, formatKargs, parseKargs, withoutKarg } = await import(
    '@atomic/sysroot'
  );
  const sysroot = await open(options);
  const common = { ...redeploying(ctx, options), ...source };
  if (!editor) {
    const result = await changeKargs(sysroot, (kargs) => editKargs(kargs, edits), common);
    return await reportRedeployed(ctx, sysroot, result.deployment, options, { kargs: result.after });
  }
  // Not under the lock: somebody may take an hour over it.
  const before = withoutKarg(currentKargs(sysroot, source), 'ostree');
  const { editText } = await import('../editor.ts');
  const text = editText(`${HEAD}${formatKargs(before)}\n`, 'kargs');
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const after = withoutKarg(parseKargs(lines.join(' ')), 'ostree');
  if (after.length === 0) throw new AtomicError('invalid', 'The kernel arguments can not be empty');
  if (formatKargs(after) === formatKargs(before)) {
    if (!options.unchangedExit77) throw new AtomicError('invalid', 'The kernel arguments remained the same');
    ctx.print('No changes.');
    return UNCHANGED;
  }
  const result = await changeKargs(sysroot, () => after, { ...common, expect: before });
  return await reportRedeployed(ctx, sysroot, result.deployment, options, { kargs: result.after });
}

async function show(ctx: Context, sysroot: Sysroot, source: KargsSource): Promise<number> {
  const { currentKargs, formatKargs } = await import('@atomic/sysroot');
  const kargs = currentKargs(sysroot, source);
  if (ctx.json) ctx.printJson({ kargs });
  else ctx.print(formatKargs(kargs));
  return 0;
}
