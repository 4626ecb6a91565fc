import { Stager } from '../repo/stager.ts';
import { storeFile } from '../repo/store-file.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ target }: Jobs['store']['shared']): Runner<'store'> {
  const stager = new Stager(target);
  return (file) => storeFile(stager, file);
}
