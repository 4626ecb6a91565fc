import { AtomicError } from '@atomic/ostree';
import { createContext, runCommand } from '../../context.ts';
import { openSysroot } from './sysroot.ts';

/** The value of `--sysroot` among arguments, in either form. */
function sysrootOption(argv: readonly string[]): string | undefined {
  const at = argv.indexOf('--sysroot');
  return at >= 0 ? argv[at + 1] : argv.find((word) => word.startsWith('--sysroot='))?.slice('--sysroot='.length);
}

/** `ostree admin --print-current-dir`: the path of the first deployment. */
export function printCurrentDir(argv: readonly string[]): Promise<number> {
  return runCommand(createContext({ lines: false }), async (ctx) => {
    const sysroot = await openSysroot(sysrootOption(argv));
    const [first] = sysroot.load().deployments;
    if (first === undefined) throw new AtomicError('not-found', 'Unable to find a deployment in sysroot');
    ctx.print(sysroot.layout.deployment(first));
  });
}
