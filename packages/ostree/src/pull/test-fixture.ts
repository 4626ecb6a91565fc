import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import {
  AtomicError,
  type Checksum,
  commitTree,
  fsck,
  type PullOptions,
  Repo,
  type RepoMode,
  remoteAdd,
} from '../index.ts';
import type { TestServer } from './test-server.ts';

/** A folder of the test's own, removed at its end. */
export const scratch = mkdtempSync(join(tmpdir(), 'atomic-pull-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** The tree that is committed: 60 small files, an empty and a large one, a link. */
export const tree = join(scratch, 'tree');
mkdirSync(join(tree, 'a/b/c'), { recursive: true });
for (let i = 0; i < 60; i++) writeFileSync(join(tree, i % 2 ? 'a' : 'a/b/c', `file ${i}`), `content ${i}\n`);
writeFileSync(join(tree, 'empty'), '');
writeFileSync(join(tree, 'big'), randomBytes(3_000_000));
symlinkSync('a', join(tree, 'link'));

/** The server's repository: /repo below the served folder, with a history of two commits. */
export const served = join(scratch, 'served');
mkdirSync(served);
export const origin = Repo.create(join(served, 'repo'), { mode: 'archive' });
const commit = async (subject: string, timestamp: number) =>
  (await commitTree(origin, { trees: [{ dir: tree }], branch: 'os/main', subject, timestamp })).commit;
export const first = await commit('one', 10);
writeFileSync(join(tree, 'new'), 'new in two\n');
export const second = await commit('two', 20);

const isBig = ({ name }: { name: string }) => name === 'big';
export const bigChecksum = origin.loadDirTree(origin.loadCommit(second).tree).files.find(isBig)?.checksum ?? '';
export const bigPath = `${bigChecksum.slice(2)}.filez`;
export const bigBytes = readFileSync(origin.objectPath('file', bigChecksum)).length;

let serial = 0;
/** A repository with the server as its remote `origin`, signatures unchecked. */
export function client(server: TestServer, mode: RepoMode = 'bare-user'): Repo {
  const repo = Repo.create(join(scratch, `client-${serial++}`), { mode });
  repo.config.set('core', 'fsync', 'false');
  remoteAdd(repo, 'origin', server.url, { options: { 'gpg-verify': 'false' } });
  return repo;
}

/** Pulls the branch, impatiently. */
export const quick = { remote: 'origin', refs: ['os/main'], retryDelay: 5, stallSeconds: 20 } satisfies PullOptions;

/** For assert.rejects: an AtomicError of this code and message. */
export const failure = (code: string, pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AtomicError, String(error));
  assert.match(error.message, pattern);
  assert.equal(error.code, code, error.message);
  return true;
};

/** Whatever failed: no ref moved, and no object is to be seen. */
export function assertUnchanged(repo: Repo): void {
  assert.equal(repo.listRefs().size, 0);
  assert.deepEqual([...repo.listObjects()], []);
}

/** Everything of the commit is there, and nothing is left over in tmp/. */
export async function assertWhole(repo: Repo, whole: Checksum = second): Promise<void> {
  assert.equal(repo.readRef('origin:os/main'), whole);
  assert.equal(repo.commitState(whole), 'complete');
  assert.deepEqual((await fsck(repo)).problems, []);
  const left = (folder: string) => {
    try {
      return readdirSync(join(repo.path, folder));
    } catch {
      return [];
    }
  };
  assert.deepEqual(
    left('tmp').filter((name) => name.startsWith('staging')),
    [],
  );
  assert.deepEqual(
    left('tmp/fetch').filter((name) => name !== 'lock'),
    [],
  );
}
