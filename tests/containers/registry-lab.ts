/** Our registry as a user starts it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root, scratchFolder } from './lab.ts';

export interface OurRegistry extends AsyncDisposable {
  url: string;
  host: string;
  /** Its repository. */
  repo: string;
  child: ChildProcess;
  /** The path of its certificate, when it has one of its own. */
  cert: string | undefined;
}

/** Runs `atomic registry serve` on a free port; `repo`: on what an earlier one has left. */
export async function startOurs(
  args: readonly string[] = [],
  repo?: string,
  env: Record<string, string> = {},
): Promise<OurRegistry> {
  const work = scratchFolder('registry');
  const path = repo ?? join(work.path, 'repo');
  const child = spawn(
    join(root, 'bin/atomic'),
    ['registry', 'serve', '--json', `--repo=${path}`, '--listen=127.0.0.1:0', ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  );
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const lines = createInterface({ input: child.stdout });
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    }
    work[Symbol.dispose]();
  };
  const first = await Promise.race([once(lines, 'line'), once(child, 'exit')]);
  const line: unknown = typeof first[0] === 'string' ? JSON.parse(first[0]) : undefined;
  if (typeof line !== 'object' || line === null || !('url' in line) || typeof line.url !== 'string') {
    await stop();
    throw new Error(`atomic registry serve: ${said}`);
  }
  const cert = 'cert' in line && typeof line.cert === 'string' ? line.cert : undefined;
  return { url: line.url, host: new URL(line.url).host, repo: path, child, cert, [Symbol.asyncDispose]: stop };
}
