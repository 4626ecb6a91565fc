export type { QuadletEngine, Surroundings } from './convert/conversion.ts';
export { type Generated, type GeneratedUnit, generate } from './generate.ts';
export type { UnitLink } from './install-links.ts';
export {
  type InstalledQuadlet,
  type InstallQuadletsOptions,
  installQuadlets,
  listQuadlets,
  planRemoval,
  type Removal,
  removeQuadlets,
} from './installed-quadlets.ts';
export { KEYS as QUADLET_KEYS_OF } from './keys.ts';
export { type LoadedSources, loadSources, type SourceProblem } from './load-sources.ts';
export { type GeneratorRun, runGenerator, UNIT_PROGRAMS, writeUnits } from './run-generator.ts';
export * from './runc/index.ts';
export { ADMIN_FOLDER, type SearchScope, searchFolders } from './search-folders.ts';
export { splitQuadlets } from './split-quadlets.ts';
export { UnitFile, UnitSyntaxError } from './unit-file.ts';
export { QUADLET_TYPES, type QuadletType, quadletType } from './unit-names.ts';
export { checkSource as checkQuadletSource, type SourceIssue } from './validate.ts';
export { splitWords as splitUnitWords } from './words.ts';
