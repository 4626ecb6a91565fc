import { importContent } from '../repo/import-content.ts';
import { Repo } from '../repo/repo.ts';
import { Stager } from '../repo/stager.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ target, source, ...options }: Jobs['import']['shared']): Runner<'import'> {
  // Only the store job says where it put what has no name.
  if (!target.resumable) throw new TypeError(`${target.stageDir} is not resumable`);
  const stager = new Stager(target);
  const from = Repo.open(source);
  return (checksum) => importContent(stager, from, checksum, { ...options, absent: true });
}
