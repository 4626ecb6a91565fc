import { type Koffi, loadKoffi } from './koffi.ts';

/** The system's libselinux is missing, or cannot use what it was given. */
export class SelabelError extends Error {
  readonly missing: boolean;
  constructor(message: string, options: { missing?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SelabelError';
    this.missing = options.missing === true;
  }
}

// selinux/label.h
const SELABEL_CTX_FILE = 0;
const SELABEL_OPT_PATH = 3;
// errno.h
const ENOENT = 2;

interface Library {
  koffi: Koffi;
  open(options: Buffer): unknown;
  close(handle: unknown): void;
  /** 0 and the context in `out`, or -1. */
  lookup(handle: unknown, out: unknown[], path: string, mode: number): number;
  free(context: unknown): void;
}

let loaded: Library | undefined;

function library(): Library {
  if (loaded !== undefined) return loaded;
  const koffi = loadKoffi();
  let lib: ReturnType<Koffi['load']>;
  try {
    lib = koffi.load('libselinux.so.1');
  } catch (error) {
    throw new SelabelError('libselinux.so.1 is not installed', { missing: true, cause: error });
  }
  const open = lib.func('void *selabel_open(unsigned int backend, void *options, unsigned int count)');
  const close = lib.func('void selabel_close(void *handle)');
  const lookup = lib.func('int selabel_lookup_raw(void *handle, _Out_ void **context, const char *path, int mode)');
  const free = lib.func('void freecon(void *context)');
  loaded = {
    koffi,
    open: (options) => open(SELABEL_CTX_FILE, options, 1),
    close: (handle) => void close(handle),
    lookup: (handle, out, path, mode) => Number(lookup(handle, out, path, mode)),
    free: (context) => void free(context),
  };
  return loaded;
}

/** Labels by path, from a policy's `file_contexts`. */
export class FileContexts implements Disposable {
  readonly #library: Library;
  readonly #handle: unknown;
  #open = true;

  private constructor(lib: Library, handle: unknown) {
    this.#library = lib;
    this.#handle = handle;
  }

  /** Reads `path` (and what lies beside it: homedirs, local, substitutions). Throws {@link SelabelError}. */
  static open(path: string): FileContexts {
    const lib = library();
    const text = Buffer.from(`${path}\0`);
    // struct selinux_opt: an int, padding, a pointer.
    const option = Buffer.alloc(16);
    option.writeInt32LE(SELABEL_OPT_PATH, 0);
    option.writeBigUInt64LE(lib.koffi.address(text), 8);
    const handle = lib.open(option);
    if (handle === null) throw new SelabelError(`${path}: not a policy's file contexts`);
    return new FileContexts(lib, handle);
  }

  /** The label for a path and mode (whose type bits count), or null where the policy has none. */
  lookup(path: string, mode: number): string | null {
    if (!this.#open) throw new SelabelError('the policy is closed');
    const { koffi } = this.#library;
    const out: unknown[] = [null];
    if (this.#library.lookup(this.#handle, out, path, mode) !== 0) {
      if (koffi.errno() === ENOENT) return null;
      throw new SelabelError(`no label for ${path}: errno ${koffi.errno()}`);
    }
    const label: unknown = koffi.decode(out[0], 'char', -1);
    this.#library.free(out[0]);
    return typeof label === 'string' ? label : null;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#library.close(this.#handle);
  }
}
