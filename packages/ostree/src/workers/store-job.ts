import { Stager } from '../repo/stager.ts';
import { storeFile } from '../repo/store-file.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ target }: Jobs['store']['shared']): Runner<'store'> {
  const stager = new Stager(target);
  return (file) => {
    const stored = storeFile(stager, file);
    const aside = stored.isNew ? stager.unnamed.get('file', stored.checksum) : undefined;
    return aside === undefined ? stored : { ...stored, aside };
  };
}
