import { Placer } from '../checkout/placer.ts';
import { Repo } from '../repo/repo.ts';
import type { Jobs, Runner } from './jobs.ts';

export function open({ repo, options }: Jobs['checkout']['shared']): Runner<'checkout'> {
  const placer = new Placer(Repo.open(repo), options);
  return ({ folder, files }) => placer.placeAll(folder, files);
}
