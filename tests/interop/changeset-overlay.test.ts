/**
 * Whatever is done in a real overlay: what is seen in it, committed, is what the upper directory laid over the base gives;
 * and so is the layer of what differs.
 */
import assert from 'node:assert/strict';
import { existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lsetxattr, mknod } from '@atomic/linux';
import {
  applyChangeset,
  changesetBetween,
  checkout,
  commitTree,
  diffTrees,
  fsck,
  pullLocal,
  Repo,
  type RepoMode,
  readUpper,
  writeLayer,
} from '@atomic/ostree';
import { Random } from '../fuzz/mutate.ts';
import { Overlay, overlayMissing } from './overlay.ts';
import { makeBase, Vandal } from './vandal.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-overlay-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const skip = overlayMissing(scratch);

const repoAt = (name: string, mode: RepoMode = 'bare'): Repo => {
  const made = Repo.create(join(scratch, name), { mode });
  made.config.set('core', 'fsync', 'false');
  return made;
};
const repo = repoAt('repo');

/** How the overlay is mounted, attributes to set that look like its own, and what has to have come of it. */
interface Mount {
  options: string;
  userxattr?: boolean;
  xattrs: string[];
  seen: string[];
  /** The mode of another repository the upper directory is laid over the base in, and gone. */
  mode: RepoMode;
}
const MOUNTS: Mount[] = [
  {
    options: 'redirect_dir=off,metacopy=off',
    xattrs: ['trusted.overlay.opaque'],
    seen: ['remove', 'clear', 'file'],
    mode: 'bare',
  },
  {
    options: 'redirect_dir=on,metacopy=off',
    xattrs: ['trusted.overlay.redirect'],
    seen: ['renamed', 'clear'],
    mode: 'bare-user',
  },
  {
    options: 'redirect_dir=on,metacopy=on',
    xattrs: ['trusted.overlay.metacopy'],
    seen: ['renamed', 'meta'],
    mode: 'archive',
  },
  {
    options: 'userxattr',
    userxattr: true,
    xattrs: ['trusted.overlay.opaque'],
    seen: ['remove', 'clear'],
    mode: 'bare',
  },
];
const rounds = Number(process.env['OVERLAY_ROUNDS'] ?? '8');

for (const { options, userxattr, xattrs, seen, mode } of MOUNTS) {
  test(`an overlay with ${options}: ${rounds} random histories`, { skip, timeout: 300_000 }, async (t) => {
    const lower = join(scratch, `lower-${options}`.replaceAll(',', '-'));
    const source = `${lower}-source`;
    mkdirSync(source);
    makeBase(source);
    const { commit: base } = await commitTree(repo, { trees: [{ dir: source }], timestamp: 1 });
    await checkout(repo, base, lower, { requireHardlinks: true });
    const taking = repoAt(`taking-${options}`, mode);
    await pullLocal(taking, repo, { refs: [base] });
    const seed = Number(process.env['FUZZ_SEED'] ?? 1) >>> 0;
    t.diagnostic(`FUZZ_SEED=${seed}`);
    // Half of them are the same whatever the seed, so that what they have to hold is sure to be there.
    const seedOf = (round: number): number => (round % 2 === 0 ? round + 1 : seed + round);
    const kinds = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      const work = mkdtempSync(join(scratch, 'round-'));
      using overlay = new Overlay(work, lower, `index=off,${options}`);
      const vandal = new Vandal(overlay.merged, new Random(seedOf(round)), { xattrs });
      vandal.act(60);
      const expected = await commitTree(repo, { trees: [{ dir: overlay.merged }], timestamp: 1, cache: false });
      overlay.unmount();
      for await (const change of readUpper(overlay.upper, { userxattr })) {
        const kind = change.kind === 'dir' && change.origin !== undefined ? 'renamed' : change.kind;
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
      const result = await applyChangeset(repo, { base, upper: overlay.upper, userxattr, timestamp: 1 });
      if (result.commit !== expected.commit) {
        const diff = await diffTrees(repo, { rev: expected.commit }, { rev: result.commit });
        assert.fail(`seed ${seedOf(round)}: ${JSON.stringify(diff)}\n${vandal.log.join('\n')}`);
      }
      assert.notEqual(result.tree, repo.loadCommit(base).tree);
      const layer = writeLayer(repo, changesetBetween(repo, base, result.commit, { parents: round % 2 === 0 }));
      assert.equal((await applyChangeset(repo, { base, layer, timestamp: 1 })).commit, expected.commit, 'as a layer');
      const { upper } = overlay;
      const taken = await applyChangeset(taking, { base, upper, userxattr, timestamp: 1, consume: true });
      assert.equal(taken.commit, expected.commit, 'with its files taken over');
      assert.equal(existsSync(upper), false);
      rmSync(work, { recursive: true });
    }
    assert.deepEqual((await fsck(taking, {})).problems, []);
    t.diagnostic(JSON.stringify(Object.fromEntries(kinds)));
    for (const kind of seen) assert.ok(kinds.has(kind), `no change of kind ${kind}: the histories are too tame`);
  });
}

test('an overlay with index=on is refused where it has more than its upper directory says', { skip }, async () => {
  const lower = mkdtempSync(join(scratch, 'indexed-'));
  writeFileSync(join(lower, 'one'), 'content');
  linkSync(join(lower, 'one'), join(lower, 'two'));
  const work = mkdtempSync(join(scratch, 'round-'));
  using overlay = new Overlay(work, lower, 'index=on,xino=off');
  writeFileSync(join(overlay.merged, 'one'), 'changed');
  assert.equal(readFileSync(join(overlay.merged, 'two'), 'utf8'), 'changed');
  overlay.unmount();
  const { commit: base } = await commitTree(repo, { trees: [{ dir: lower }], timestamp: 1 });
  await assert.rejects(applyChangeset(repo, { base, upper: overlay.upper }), {
    code: 'unsupported',
    hint: 'mount the overlay with index=off',
  });
});

test('what no tree holds is refused, or left out and told of; whiteouts by attribute are whiteouts', {
  skip,
}, async () => {
  const lower = mkdtempSync(join(scratch, 'plain-'));
  for (const name of ['a', 'b']) writeFileSync(join(lower, name), name);
  const { commit: base } = await commitTree(repo, { trees: [{ dir: lower }], timestamp: 1 });
  const upper = mkdtempSync(join(scratch, 'upper-'));
  mknod(join(upper, 'fifo'), 0o010644);
  mknod(join(upper, 'null'), 0o020644, 0x103);
  writeFileSync(join(upper, 'a'), '');
  lsetxattr(join(upper, 'a'), 'trusted.overlay.whiteout', Buffer.alloc(0));
  await assert.rejects(applyChangeset(repo, { base, upper }), /Not a regular file or symlink: .*fifo/);
  const special: string[] = [];
  const { tree } = await applyChangeset(repo, { base, upper, onSpecial: (path) => special.push(path) });
  assert.deepEqual(special, ['fifo', 'null']);
  assert.deepEqual(
    repo.loadDirTree(tree).files.map(({ name }) => name),
    ['b'],
  );
  writeFileSync(Buffer.concat([Buffer.from(`${upper}/`), Buffer.of(0xff)]), '');
  await assert.rejects(applyChangeset(repo, { base, upper, onSpecial: () => {} }), /Invalid UTF-8 in filename/);
});
