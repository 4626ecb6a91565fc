import { SyscallError } from './error.ts';
import { type Koffi, loadKoffi } from './koffi.ts';

type NativeFunction = (...args: unknown[]) => unknown;

interface Libc {
  koffi: Koffi;
  func(prototype: string): NativeFunction;
}

let loaded: Libc | undefined;

/** Loading koffi costs a few milliseconds, so nobody pays for it before the first call that needs it. */
function libc(): Libc {
  if (loaded === undefined) {
    const koffi = loadKoffi();
    const library = koffi.load('libc.so.6');
    loaded = { koffi, func: (prototype) => library.func(prototype) };
  }
  return loaded;
}

/**
 * Declares a libc function by its C prototype, bound on first use. The returned function gives the C result as a
 * number and throws {@link SyscallError} when that is negative; `path` only names the object in the error.
 */
export function syscall(name: string, prototype: string): (path: string, ...args: unknown[]) => number {
  let native: NativeFunction | undefined;
  return (path, ...args) => {
    const { koffi, func } = libc();
    native ??= func(prototype);
    const result = Number(native(...args));
    if (result < 0) throw new SyscallError(name, koffi.errno(), path);
    return result;
  };
}
