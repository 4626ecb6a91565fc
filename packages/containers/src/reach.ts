import type { Platform } from '@atomic/oci';
import type { RegistryAccess } from './policy/registry-image.ts';
import type { TrustPaths } from './policy/trust-paths.ts';

/** How registries and engines are reached: what the command line and the configuration say together. */
export interface Reach {
  paths: TrustPaths;
  access: RegistryAccess;
  /** Where the Docker engine listens. */
  socketPath?: string | undefined;
  /** Of which image in a list; this machine's by default. */
  platform?: Platform | undefined;
}
