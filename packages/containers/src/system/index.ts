export { reportOf, runInside, systemBackend, type ThrowAway } from './backend.ts';
export { type HostSecurity, hostSecurity } from './harden.ts';
export { type PlacesOptions, placesOf } from './places.ts';
export { findRuntime } from './runtimes.ts';
export { parseDetails, type SystemDetails, type SystemHost, settingsOf } from './stage.ts';
export {
  defaultName,
  type InstallOptions,
  type ObtainOptions,
  SystemContainers,
  type SystemContainersOptions,
  type UpdateOptions as SystemUpdateOptions,
} from './system.ts';
