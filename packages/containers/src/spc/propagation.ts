import { mountOf, readMounts } from '@atomic/linux';

/** `:rslave` where mounts that come later can be seen through a bind mount of the folder: what holds it is shared. */
export const slaveSuffix = (folder: string, mounts = readMounts()): string =>
  mountOf(folder, mounts)?.shared === true ? ':rslave' : '';
