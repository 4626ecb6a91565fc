import { type Koffi, loadKoffi } from './koffi.ts';

/** liblzma is missing, or what it was given is not what it claims to be. */
export class LzmaError extends Error {
  /** `missing`: there is no liblzma; `data`: not a valid stream; `memory`: the stream asks for more than allowed. */
  readonly code: 'missing' | 'data' | 'memory' | 'failed';
  constructor(code: LzmaError['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LzmaError';
    this.code = code;
  }
}

// lzma/base.h: struct lzma_stream on 64-bit machines.
const STREAM_SIZE = 136;
const NEXT_IN = 0;
const AVAIL_IN = 8;
const NEXT_OUT = 24;
const AVAIL_OUT = 32;
// lzma/base.h: lzma_ret and lzma_action.
const LZMA_OK = 0;
const LZMA_STREAM_END = 1;
const LZMA_MEM_ERROR = 5;
const LZMA_MEMLIMIT_ERROR = 6;
const LZMA_BUF_ERROR = 10;
const LZMA_RUN = 0;
const LZMA_FINISH = 3;
// lzma/vli.h, lzma/lzma12.h, lzma/bcj.h, lzma/check.h.
const LZMA_VLI_UNKNOWN = 0xffffffffffffffffn;
const LZMA_FILTER_LZMA2 = 0x21n;
const LZMA_FILTER_X86 = 0x04n;
const LZMA_CHECK_CRC64 = 4;
/** More than sizeof(lzma_options_lzma), whose first field is the size of the dictionary. */
const OPTIONS_SIZE = 256;
/** Where its `nice_len` is. */
const NICE_LENGTH = 36;
/** sizeof(lzma_filter): an id and a pointer to its options. */
const FILTER_SIZE = 16;

interface Library {
  koffi: Koffi;
  code(stream: Buffer, action: number): number;
  codeAsync(stream: Buffer, action: number): Promise<number>;
  end(stream: Buffer): void;
  preset(options: Buffer, preset: number): number;
  encoder(stream: Buffer, filters: Buffer, check: number): number;
  decoder(stream: Buffer, memoryLimit: number, flags: number): number;
}

let loaded: Library | undefined;

function library(): Library {
  if (loaded !== undefined) return loaded;
  const koffi = loadKoffi();
  let lib: ReturnType<Koffi['load']>;
  try {
    lib = koffi.load('liblzma.so.5');
  } catch (error) {
    throw new LzmaError('missing', 'liblzma.so.5 is not installed (on Debian: apt install liblzma5)', error);
  }
  const code = lib.func('int lzma_code(_Inout_ void *stream, int action)');
  const end = lib.func('void lzma_end(_Inout_ void *stream)');
  const preset = lib.func('bool lzma_lzma_preset(_Inout_ void *options, uint32_t preset)');
  const encoder = lib.func('int lzma_stream_encoder(_Inout_ void *stream, void *filters, int check)');
  const decoder = lib.func('int lzma_stream_decoder(_Inout_ void *stream, uint64_t memory_limit, uint32_t flags)');
  loaded = {
    koffi,
    code: (stream, action) => Number(code(stream, action)),
    codeAsync: (stream, action) =>
      new Promise((resolve, reject) => {
        code.async(stream, action, (error: unknown, result: unknown) => {
          if (error) reject(error);
          else resolve(Number(result));
        });
      }),
    end: (stream) => {
      end(stream);
    },
    preset: (options, level) => Number(preset(options, level)),
    encoder: (stream, filters, check) => Number(encoder(stream, filters, check)),
    decoder: (stream, memoryLimit, flags) => Number(decoder(stream, memoryLimit, flags)),
  };
  return loaded;
}

export interface XzEncoderOptions {
  /** 0 to 9, as the xz command's; `extreme` spends more time. */
  preset: number;
  extreme?: boolean | undefined;
  /** Bytes of dictionary, instead of the preset's own: no more than the data is ever of use. */
  dictionary?: number | undefined;
  /** A match of so many bytes (to 273) is taken without looking for a better one, instead of the preset's own. */
  nice?: number | undefined;
  /** Makes x86 machine code pack better, and other data a little worse. */
  x86?: boolean | undefined;
}

/** One .xz stream being packed or unpacked by the system's liblzma. Dispose of it: its memory is not the collector's. */
export class XzStream implements Disposable {
  readonly #stream = Buffer.alloc(STREAM_SIZE);
  readonly #library: Library;
  #open = true;

  private constructor(lib: Library) {
    this.#library = lib;
  }

  static decoder(memoryLimit: number): XzStream {
    const lib = library();
    const xz = new XzStream(lib);
    check(lib.decoder(xz.#stream, memoryLimit, 0));
    return xz;
  }

  static encoder(options: XzEncoderOptions): XzStream {
    const lib = library();
    // One buffer for the options and, behind them, the filters that point at them: so both live through the call.
    const setup = Buffer.alloc(OPTIONS_SIZE + 3 * FILTER_SIZE);
    const level = (options.preset | (options.extreme === true ? 0x80000000 : 0)) >>> 0;
    if (lib.preset(setup, level) !== 0) throw new LzmaError('failed', `liblzma knows no preset ${options.preset}`);
    if (options.dictionary !== undefined) setup.writeUInt32LE(options.dictionary, 0);
    if (options.nice !== undefined) setup.writeUInt32LE(options.nice, NICE_LENGTH);
    const filters: [bigint, bigint][] = [
      [LZMA_FILTER_LZMA2, BigInt(lib.koffi.address(setup))],
      [LZMA_VLI_UNKNOWN, 0n],
    ];
    if (options.x86 === true) filters.unshift([LZMA_FILTER_X86, 0n]);
    const table = setup.subarray(OPTIONS_SIZE);
    filters.forEach(([id, pointer], i) => {
      table.writeBigUInt64LE(id, i * FILTER_SIZE);
      table.writeBigUInt64LE(pointer, i * FILTER_SIZE + 8);
    });
    const xz = new XzStream(lib);
    check(lib.encoder(xz.#stream, table, LZMA_CHECK_CRC64));
    return xz;
  }

  #prepare(input: Buffer, output: Buffer): void {
    const { koffi } = this.#library;
    this.#stream.writeBigUInt64LE(input.length === 0 ? 0n : BigInt(koffi.address(input)), NEXT_IN);
    this.#stream.writeBigUInt64LE(BigInt(input.length), AVAIL_IN);
    this.#stream.writeBigUInt64LE(BigInt(koffi.address(output)), NEXT_OUT);
    this.#stream.writeBigUInt64LE(BigInt(output.length), AVAIL_OUT);
  }

  #result(status: number, input: Buffer, output: Buffer): { read: number; written: number; ended: boolean } {
    const read = input.length - Number(this.#stream.readBigUInt64LE(AVAIL_IN));
    const written = output.length - Number(this.#stream.readBigUInt64LE(AVAIL_OUT));
    // No progress is no failure yet: more input or room may come.
    if (status !== LZMA_BUF_ERROR) check(status);
    return { read, written, ended: status === LZMA_STREAM_END };
  }

  /** Takes from `input` and fills `output` as far as either goes; `finish` says that no more input comes. */
  run(input: Buffer, output: Buffer, finish: boolean): { read: number; written: number; ended: boolean } {
    this.#prepare(input, output);
    return this.#result(this.#library.code(this.#stream, finish ? LZMA_FINISH : LZMA_RUN), input, output);
  }

  /** The same on a thread of the pool. */
  async runAsync(
    input: Buffer,
    output: Buffer,
    finish: boolean,
  ): Promise<{ read: number; written: number; ended: boolean }> {
    this.#prepare(input, output);
    const status = await this.#library.codeAsync(this.#stream, finish ? LZMA_FINISH : LZMA_RUN);
    return this.#result(status, input, output);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#library.end(this.#stream);
  }
}

function check(status: number): void {
  if (status === LZMA_OK || status === LZMA_STREAM_END) return;
  if (status === LZMA_MEM_ERROR || status === LZMA_MEMLIMIT_ERROR) {
    throw new LzmaError('memory', 'the xz data asks for too much memory');
  }
  throw new LzmaError('data', `the xz data is corrupt (liblzma: ${status})`);
}
