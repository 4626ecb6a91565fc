import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { STOCK } from './scenarios.ts';

/** What was done at once, and what was wrong with it. */
export interface Together {
  commits: number;
  pulls: number;
  prunes: number;
  problems: string[];
}

/** Runs a program without blocking the others; resolves to what it printed. */
function run(command: readonly string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const [bin = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(bin, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
    const text = { stdout: '', stderr: '' };
    child.stdout.on('data', (data) => {
      text.stdout += data;
    });
    child.stderr.on('data', (data) => {
      text.stderr += data;
    });
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, ...text }));
  });
}

/**
 * Commits, pulls and prunes on one repository at once, ours and stock's processes mixed, for `seconds`. Afterwards every
 * ref names the last commit it was given, with as much history as was kept, and stock's fsck finds all of it whole.
 */
export async function together(program: readonly string[], scratch: string, seconds: number): Promise<Together> {
  const repo = join(scratch, 'repo');
  const from = join(scratch, 'from');
  execFileSync(STOCK, ['init', `--repo=${repo}`, '--mode=bare-user']);
  execFileSync(STOCK, ['init', `--repo=${from}`, '--mode=archive']);
  const result: Together = { commits: 0, pulls: 0, prunes: 0, problems: [] };
  const last = new Map<string, string>();
  const until = performance.now() + seconds * 1000;
  const must = async (command: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await run(command);
    if (status !== 0) result.problems.push(`${command.slice(-4).join(' ')}: ${stderr.trim()}`);
    return stdout.trim();
  };
  const tool = (serial: number): readonly string[] => (serial % 3 === 2 ? [STOCK] : program);

  const commit = async (branch: string, target: string): Promise<void> => {
    const tree = join(scratch, `tree-${branch}`);
    mkdirSync(join(tree, 'sub'), { recursive: true });
    for (let serial = 0; performance.now() < until; serial++) {
      writeFileSync(join(tree, 'sub', `file-${serial % 7}`), `${branch} ${serial}\n`.repeat(serial % 50));
      const args = ['commit', `--repo=${target}`, `--branch=${branch}`, '--owner-uid=0', '--owner-gid=0', tree];
      const checksum = await must([...tool(serial), ...args]);
      if (target === repo) {
        last.set(branch, checksum);
        result.commits++;
      }
    }
  };
  const pull = async (): Promise<void> => {
    for (let serial = 0; performance.now() < until; serial++) {
      const source = await run([STOCK, 'rev-parse', `--repo=${from}`, 'upstream']);
      if (source.status !== 0) continue;
      const checksum = source.stdout.trim();
      await must([...tool(serial), 'pull-local', `--repo=${repo}`, '--remote=o', from, checksum]);
      result.pulls++;
    }
    await must([...program, 'pull-local', `--repo=${repo}`, '--remote=o', from, 'upstream']);
  };
  const prune = async (): Promise<void> => {
    for (let serial = 0; performance.now() < until; serial++) {
      await must([...tool(serial), 'prune', `--repo=${repo}`, '--refs-only', '--depth=3']);
      result.prunes++;
    }
  };
  await Promise.all([commit('one', repo), commit('two', repo), commit('upstream', from), pull(), prune()]);

  for (const [branch, checksum] of last) {
    const found = readFileSync(join(repo, 'refs/heads', branch), 'utf8').trim();
    if (found !== checksum) result.problems.push(`${branch} is ${found}, but the last commit was ${checksum}`);
    await must([STOCK, 'ls', `--repo=${repo}`, '-R', branch]);
    await must([STOCK, 'rev-parse', `--repo=${repo}`, `${branch}^`]);
  }
  await must([STOCK, 'ls', `--repo=${repo}`, '-R', 'o:upstream']);
  await must([STOCK, 'fsck', '-q', `--repo=${repo}`]);
  return result;
}
