import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { run } from './process.ts';

/** Says more than is kept of what a program says. */
const TALK = ['-c', "printf 'first\\n'; head -c 40000000 /dev/zero | tr '\\0' 'x'; printf '\\nlast'"];

describe('running a program', () => {
  test('its output is whole, or it is an error', async () => {
    await assert.rejects(
      run('sh', TALK),
      (error) =>
        error instanceof AtomicError && error.code === 'failed' && /sh said more than 32 MiB/.test(error.message),
    );
  });

  test('output that nobody keeps may be of any length, and comes in lines to the last', async () => {
    const lines: string[] = [];
    const onLine = (line: string): void => void lines.push(line.slice(0, 5));
    assert.equal(await run('sh', TALK, { discardOutput: true, onLine }), '');
    assert.deepEqual(lines, ['first', 'xxxxx', 'last']);
  });

  test('a character whose bytes come one by one is one; lines of both outputs stay apart', async () => {
    const script = "printf '\\303'; sleep 0.2; printf 'b\\nc' >&2; sleep 0.2; printf '\\244\\n'";
    const lines: string[] = [];
    assert.equal(await run('sh', ['-c', script], { onLine: (line) => void lines.push(line) }), 'ä\n');
    assert.deepEqual(lines.sort(), ['b', 'c', 'ä']);
  });

  test('what cannot be started at all is told like everything else', async () => {
    await assert.rejects(
      run('true', ['x'.repeat(200_000)]),
      (error) => error instanceof AtomicError && /cannot run true: .*E2BIG/.test(error.message),
    );
  });
});
