import { loadKoffi } from './koffi.ts';

/** libcrypt is missing, or knows no such method. */
export class CryptError extends Error {
  readonly code = 'failed';
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CryptError';
  }
}

/** crypt.h: sizeof(struct crypt_data). */
const DATA_SIZE = 32_768;
/** crypt.h: CRYPT_GENSALT_OUTPUT_SIZE. */
const SALT_SIZE = 192;

interface Library {
  hash(phrase: string, setting: string, data: Buffer): Promise<string | null>;
  salt(prefix: string, count: number, random: Buffer, output: Buffer): boolean;
}

let loaded: Library | undefined;

function library(): Library {
  if (loaded !== undefined) return loaded;
  const koffi = loadKoffi();
  const open = () => {
    try {
      return koffi.load('libcrypt.so.1');
    } catch {
      // Fedora's has another number; the functions are the same.
      return koffi.load('libcrypt.so.2');
    }
  };
  let lib: ReturnType<typeof open>;
  try {
    lib = open();
  } catch (error) {
    throw new CryptError('libcrypt is not installed (on Debian: apt install libcrypt1)', error);
  }
  const hash = lib.func('str crypt_rn(str phrase, str setting, _Inout_ void *data, int size)');
  const salt = lib.func(
    'void *crypt_gensalt_rn(str prefix, unsigned long count, void *random, int length, _Inout_ void *output, int size)',
  );
  loaded = {
    hash: (phrase, setting, data) =>
      new Promise((resolve, reject) => {
        hash.async(phrase, setting, data, data.length, (error: unknown, result: unknown) => {
          if (error) reject(error);
          else resolve(typeof result === 'string' ? result : null);
        });
      }),
    salt: (prefix, count, random, output) => salt(prefix, count, random, random.length, output, output.length) !== null,
  };
  return loaded;
}

/**
 * crypt(3) in a thread of its own: the hash of a password by the method, cost and salt that `setting` begins with (a hash
 * is such a setting itself). Null when the method is not one of libcrypt's. Throws {@link CryptError}.
 */
export async function cryptPassword(password: string, setting: string): Promise<string | null> {
  const result = await library().hash(password, setting, Buffer.alloc(DATA_SIZE));
  // Failures begin with a star, so that they equal no hash.
  return result === null || result.startsWith('*') ? null : result;
}

/** The beginning of a hash: a method (`$2b$`, `$y$`, …), its cost, and salt made of `random`. Throws {@link CryptError}. */
export function cryptSalt(method: string, cost: number, random: Buffer): string {
  const output = Buffer.alloc(SALT_SIZE);
  if (!library().salt(method, cost, random, output)) throw new CryptError(`libcrypt cannot make hashes of ${method}`);
  return output.toString('latin1', 0, output.indexOf(0));
}
