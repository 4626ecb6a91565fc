import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { commitTree } from './commit/commit.ts';
import type { Metadata } from './gvariant/vardict.ts';
import type { Checksum } from './objects/checksum.ts';
import { Repo } from './repo/repo.ts';

/** A folder for the tests of one file, removed after them. */
export function scratchFolder(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `atomic-${name}-`));
  after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

let serial = 0;

/** A new archive repository that does not wait for the disk. */
export function testRepo(folder: string, options: { collectionId?: string } = {}): Repo {
  const repo = Repo.create(join(folder, `repo-${serial++}`), { mode: 'archive', ...options });
  repo.config.set('core', 'fsync', 'false');
  repo.saveConfig();
  return repo;
}

/** Commits a tree of files given as path → content. */
export async function commitFiles(
  repo: Repo,
  files: Record<string, string>,
  options: { branch?: string; timestamp?: number; metadata?: Metadata; parent?: Checksum | null } = {},
): Promise<Checksum> {
  const dir = `${repo.path}-tree-${serial++}`;
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), content);
  }
  mkdirSync(dir, { recursive: true });
  const { commit } = await commitTree(repo, { trees: [{ dir }], timestamp: 1_700_000_000, ...options });
  rmSync(dir, { recursive: true });
  return commit;
}
