import { makeAnyPart } from '../delta/apply-any-part.ts';
import { PartSink } from '../delta/part-sink.ts';
import { Repo } from '../repo/repo.ts';
import { Stager } from '../repo/stager.ts';
import type { Jobs, Runner } from './jobs.ts';
import { errorToData } from './messages.ts';

export function open({ target }: Jobs['apply-part']['shared']): Runner<'apply-part'> {
  // Objects without names would be known to this thread alone.
  if (!target.resumable) throw new TypeError(`${target.stageDir} is not resumable`);
  const repo = Repo.open(target.repo);
  const stager = new Stager(target);
  return async (part) => {
    const sink = new PartSink(repo, stager);
    try {
      const bytes = await makeAnyPart(sink, part);
      return { made: sink.made, bytes, error: null };
    } catch (error) {
      return { made: sink.made, bytes: 0, error: errorToData(error) };
    }
  };
}
