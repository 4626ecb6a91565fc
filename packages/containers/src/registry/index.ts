export { Access, type AccessMode } from './access/access.ts';
export { Htpasswd, listUsers, removeUser, setUser } from './access/htpasswd.ts';
export { TokenKeys } from './access/token.ts';
export { Cache } from './cache.ts';
export { type CertificateFiles, ownCertificate } from './certificate.ts';
export { type Collected, type CollectOptions, collectGarbage } from './collect.ts';
export { deleteFromRegistry } from './delete.ts';
export { ImagesSource } from './images-source.ts';
export {
  LIMITS as REGISTRY_LIMITS,
  type Limits as RegistryLimits,
  type Registry as ServedRegistry,
} from './registry-options.ts';
export { RegistryStore } from './registry-store.ts';
export type { Repository } from './repository.ts';
export { type RegistryServer, type RequestLog, type ServeRegistryOptions, serveRegistry } from './serve.ts';
export type { FoundManifest, Source as RegistrySource } from './source.ts';
export { type RepositorySummary, summarize } from './summarize.ts';
export { registryUnit } from './unit.ts';
export { RemoteUpstream } from './upstream.ts';
