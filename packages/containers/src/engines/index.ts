export * from './confinement.ts';
export * from './engine-containers.ts';
export * from './engine-images.ts';
export * from './open.ts';
export { createIgnores } from './podman-version.ts';
export { nameBetweenOf, namesBetween, previousName } from './recreate.ts';
export * from './trim.ts';
