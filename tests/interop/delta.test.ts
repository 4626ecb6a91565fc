import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { applyDeltaOffline, fsck, generateDelta, parseSuperblock, Repo, type RepoMode } from '@atomic/ostree';
import { notRoot, stock, stockMissing } from './store-tree.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-deltas-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

describe('static deltas, ours and stock', { skip: stockMissing || notRoot }, () => {
  const repo = join(scratch, 'repo');
  const tree = join(scratch, 'tree');
  const commit = (): string =>
    stock('commit', `--repo=${repo}`, '--branch=main', '--subject=S', `--tree=dir=${tree}`).trim();
  let from = '';
  let to = '';

  const prepare = (): void => {
    if (to !== '') return;
    stock('init', `--repo=${repo}`, '--mode=archive');
    mkdirSync(join(tree, 'usr/bin'), { recursive: true });
    for (const name of ['ls', 'bash', 'true']) cpSync(`/bin/${name}`, join(tree, 'usr/bin', name));
    from = commit();
    // As a rebuilt program is: something more near the middle, and at the end.
    for (const name of ['ls', 'bash']) {
      const path = join(tree, 'usr/bin', name);
      const bytes = readFileSync(path);
      const middle = bytes.length >> 1;
      writeFileSync(path, Buffer.concat([bytes.subarray(0, middle), Buffer.from('new'), bytes.subarray(middle)]));
    }
    execFileSync('ln', ['-s', 'ls', join(tree, 'usr/bin/dir')]);
    writeFileSync(join(tree, 'usr/bin/private'), 'private', { mode: 0o600 });
    to = commit();
  };

  const client = (name: string, mode: RepoMode): string => {
    const path = join(scratch, name);
    stock('init', `--repo=${path}`, `--mode=${mode}`);
    stock('pull-local', `--repo=${path}`, repo, from);
    return path;
  };

  for (const mode of ['bare', 'bare-user'] satisfies RepoMode[]) {
    for (const kind of ['parts', 'inline', 'other byte order'] as const) {
      test(`${mode}, ${kind}: stock applies ours`, async () => {
        prepare();
        const folder = mkdtempSync(join(scratch, 'ours-'));
        const delta = await generateDelta(Repo.open(repo), {
          from,
          to,
          filename: join(folder, 'superblock'),
          inline: kind === 'inline',
          endianness: kind === 'other byte order' ? 'big' : 'little',
        });
        assert.ok(delta.bsdiff >= 2);
        const path = client(`stock-${mode}-${kind}`, mode);
        stock('static-delta', 'apply-offline', `--repo=${path}`, delta.path);
        assert.match(stock('fsck', `--repo=${path}`), /no errors found/);
      });

      test(`${mode}, ${kind}: we apply stock's`, async () => {
        prepare();
        const folder = mkdtempSync(join(scratch, 'stock-'));
        const more = { parts: [], inline: ['--inline'], 'other byte order': ['--swap-endianness'] }[kind];
        const filename = join(folder, 'superblock');
        stock(
          'static-delta',
          'generate',
          `--repo=${repo}`,
          `--from=${from}`,
          `--to=${to}`,
          `--filename=${filename}`,
          ...more,
        );
        const delta = parseSuperblock(readFileSync(filename));
        assert.equal(delta.endianness, kind === 'other byte order' ? 'big' : 'little');
        const target = Repo.open(client(`ours-${mode}-${kind}`, mode));
        await applyDeltaOffline(target, folder, { engine: null });
        assert.equal(target.commitState(to), 'complete');
        assert.deepEqual((await fsck(target)).problems, []);
      });
    }
  }

  test('ours is no larger than stock, and the lean one much smaller', async () => {
    prepare();
    const [ours, theirs] = [mkdtempSync(join(scratch, 'a-')), mkdtempSync(join(scratch, 'b-'))];
    const delta = await generateDelta(Repo.open(repo), { from, to, filename: join(ours, 'superblock') });
    const filename = join(theirs, 'superblock');
    stock('static-delta', 'generate', `--repo=${repo}`, `--from=${from}`, `--to=${to}`, `--filename=${filename}`);
    const size = parseSuperblock(readFileSync(filename)).parts.reduce((sum, part) => sum + part.size, 0);
    assert.ok(delta.size <= size, `${delta.size} bytes, stock ${size}`);
    assert.ok(delta.leanSize !== null && delta.leanSize <= 0.8 * size, `lean ${delta.leanSize} bytes, stock ${size}`);
  });
});
