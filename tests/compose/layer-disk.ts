import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type LayerLimits, layerAssembler } from '@atomic/compose';
import { AtomicError, type Checksum } from '@atomic/ostree';
import type { AssembledLayer, AssembleOptions, LayerRequests, Sysroot } from '@atomic/sysroot';

const NONE: LayerRequests = { install: [], local: [], localFileOverride: [], remove: [], replace: [], replaceFrom: [] };

export type LayerOptions = AssembleOptions & { base?: Checksum; limits?: Partial<LayerLimits> };

/** A disk on which packages are layered, of whichever family. */
export abstract class LayerDisk {
  readonly work: string;
  readonly sysroot: Sysroot;
  readonly base: Checksum;
  /** The /etc that says where packages come from. */
  readonly etc: string;

  protected constructor(work: string, sysroot: Sysroot, base: Checksum) {
    this.work = work;
    this.sysroot = sysroot;
    this.base = base;
    this.etc = join(work, 'etc');
  }

  async assemble(requests: Partial<LayerRequests>, options: LayerOptions = {}): Promise<AssembledLayer> {
    const { base = this.base, limits = {}, ...rest } = options;
    const layers = await layerAssembler({ limits });
    using _lock = await this.sysroot.lock();
    return await layers.assemble(this.sysroot, base, { ...NONE, ...requests }, { mergeEtc: this.etc, ...rest });
  }

  /** Asserts that it fails, in one line, and that the disk is as it was. */
  async fails(requests: Partial<LayerRequests>, message: RegExp, options: LayerOptions = {}): Promise<AtomicError> {
    const error = await this.assemble(requests, options).then(
      () => assert.fail('it did not fail'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof AtomicError, error instanceof Error ? error.stack : String(error));
    assert.match(error.message, message);
    assert.ok(!error.message.includes('\n'), 'one line');
    this.assertNothingLeft();
    return error;
  }

  abstract assertNothingLeft(): void;
}
