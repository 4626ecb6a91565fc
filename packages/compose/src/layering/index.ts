import type { LayerAssembler } from '@atomic/sysroot';
import type { LayerLimits } from './limits.ts';

export type { LayerLimits } from './limits.ts';

/** What layers packages on this machine's trees: the package manager of each tree itself. */
export async function layerAssembler(options: { limits?: Partial<LayerLimits> } = {}): Promise<LayerAssembler> {
  const { Layering } = await import('./assembler.ts');
  return new Layering(options);
}
