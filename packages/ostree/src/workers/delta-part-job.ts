import { buildPart } from '../delta/build-part.ts';
import { Repo } from '../repo/repo.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ repo: path, options }: Jobs['delta-part']['shared']): Runner<'delta-part'> {
  const repo = Repo.open(path);
  return ({ objects }) => buildPart(repo, objects, options);
}
