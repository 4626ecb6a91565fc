import {
  type Credentials,
  certificatesFor,
  fromAuthFiles,
  type ImageName,
  type Platform,
  type RegistryOptions,
} from '@atomic/oci';
import type { TrustPaths } from './policy/trust-paths.ts';

/** How registries and engines are reached: what the command line and the configuration say together. */
export interface Reach {
  paths: TrustPaths;
  /** Files with credentials, the first that has some counts. */
  authFiles: readonly string[];
  /** Folders such as /etc/containers/certs.d. */
  certificateFolders: readonly string[];
  /** Given for this once; before all files. */
  credentials?: Credentials | undefined;
  /** False: any certificate, or none. */
  tlsVerify?: boolean | undefined;
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
  proxy?: Record<string, string | undefined> | undefined;
  /** Where the Docker engine listens. */
  socketPath?: string | undefined;
  platform?: Platform | undefined;
}

/** Options for one registry. */
export function registryOptions(reach: Reach, { registry = '' }: ImageName, insecure: boolean): RegistryOptions {
  const { credentials } = reach;
  return {
    ...certificatesFor(registry, reach.certificateFolders),
    insecure: reach.tlsVerify === undefined ? insecure : !reach.tlsVerify,
    credentials: credentials === undefined ? fromAuthFiles(reach.authFiles) : async () => credentials,
    proxy: reach.proxy,
  };
}
