import { parentPort, workerData } from 'node:worker_threads';
import { type JobKind, type Jobs, openJob } from './jobs.ts';
import { type Answer, errorToData, type Start } from './messages.ts';

/** The thread: takes batches of items of the one job it was started for, and answers each batch. */
async function serve<K extends JobKind>({ kind, shared }: Start<K>): Promise<void> {
  const run = await openJob(kind, shared);
  parentPort?.on('message', async (items: Jobs[K]['item'][]) => {
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
  });
}

const start: Start<JobKind> = workerData;
void serve(start);
