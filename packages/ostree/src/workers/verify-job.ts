import { Repo } from '../repo/repo.ts';
import { verifyObject } from '../repo/verify-object.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ repo }: Jobs['verify']['shared']): Runner<'verify'> {
  const opened = Repo.open(repo);
  return ({ type, checksum }) => verifyObject(opened, type, checksum);
}
