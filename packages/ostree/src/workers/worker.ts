import { parentPort, workerData } from 'node:worker_threads';
import { type JobKind, type Jobs, openJob } from './jobs.ts';
import { type Answer, errorToData, type Start } from './messages.ts';

/** The thread: takes batches of items of the one job it was started for, and answers each batch. */
async function serve<K extends JobKind>({ kind, shared }: Start<K>): Promise<void> {
  const run = await openJob(kind, shared);
  const work = async (items: Jobs[K]['item'][]): Promise<void> => {
    const answer: Answer<K> = { outputs: [], error: null };
    try {
      for (const item of items) {
        const output = run(item);
        answer.outputs.push(output instanceof Promise ? await output : output);
      }
    } catch (error) {
      answer.error = errorToData(error);
    }
    parentPort?.postMessage(answer);
  };
  // One batch at a time: answers are told apart by their order alone.
  let turn = Promise.resolve();
  parentPort?.on('message', (items: Jobs[K]['item'][]) => {
    turn = turn.then(() => work(items));
  });
}

const start: Start<JobKind> = workerData;
void serve(start);
