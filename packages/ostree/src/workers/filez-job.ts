import { Stager } from '../repo/stager.ts';
import { storeFilez } from '../repo/store-filez.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ target, ...options }: Jobs['filez']['shared']): Runner<'filez'> {
  const stager = new Stager(target);
  return ({ checksum, body }) => storeFilez(stager, body, checksum, options);
}
