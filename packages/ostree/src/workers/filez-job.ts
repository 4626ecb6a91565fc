import { Stager } from '../repo/stager.ts';
import { storeFilez } from '../repo/store-filez.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ target, ...options }: Jobs['filez']['shared']): Runner<'filez'> {
  // Only the store job says where it put what has no name.
  if (!target.resumable) throw new TypeError(`${target.stageDir} is not resumable`);
  const stager = new Stager(target);
  return ({ checksum, body }) => storeFilez(stager, body, checksum, { ...options, absent: true });
}
