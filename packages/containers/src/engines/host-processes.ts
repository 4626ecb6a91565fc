import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { AtomicError } from '@atomic/ostree';
import type { ContainerProcess } from '../backends/backend.ts';

const COLUMN = /^[a-z_]{1,16}$/;

/** Columns of `ps` for processes of this machine, as `ps -o` names them; `pid` and `args` are always there. */
export async function hostProcesses(pids: readonly number[], columns: readonly string[]): Promise<ContainerProcess[]> {
  const wanted = ['pid', ...columns.filter((column) => column !== 'pid' && column !== 'args'), 'args'];
  const wrong = wanted.find((column) => !COLUMN.test(column));
  if (wrong !== undefined) throw new AtomicError('usage', `'${wrong}' is no column of ps`);
  const numbers = pids.filter((pid) => Number.isSafeInteger(pid) && pid > 0);
  if (numbers.length === 0) return [];
  const flags = [...wanted.flatMap((column) => ['-o', `${column}=`]), '-ww', '-p', numbers.join(',')];
  let text: string;
  try {
    ({ stdout: text } = await promisify(execFile)('ps', flags, { maxBuffer: 1 << 24 }));
  } catch (cause) {
    // All of them have ended meanwhile.
    if (cause instanceof Error && 'code' in cause && cause.code === 1 && 'stderr' in cause && cause.stderr === '')
      return [];
    throw new AtomicError('failed', `ps does not show the processes: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    });
  }
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const values = line.trim().split(/\s+/);
      const last = wanted.length - 1;
      return Object.fromEntries(
        wanted.map((column, i) => [column, (i === last ? values.slice(last).join(' ') : values[i]) ?? '']),
      );
    });
}
