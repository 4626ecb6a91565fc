import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { findEtcConflicts } from './etc-conflicts.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-conflicts-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let serial = 0;

/** A tree: path → text, or `-> target`, or null for a folder only its owner may enter. */
function make(entries: Record<string, string | null>): string {
  const root = join(scratch, String(++serial));
  mkdirSync(root);
  for (const [path, text] of Object.entries(entries)) {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    if (text === null) mkdirSync(full, { mode: 0o700 });
    else if (text.startsWith('-> ')) symlinkSync(text.slice(3), full);
    else {
      writeFileSync(full, text);
      chmodSync(full, 0o644);
    }
  }
  return root;
}

test('what both sides changed is named, what one of them did is not', () => {
  const defaults = make({
    untouched: '1',
    mine: '1',
    theirs: '1',
    both: '1',
    alike: '1',
    goneThere: '1',
    goneHere: '1',
    'goneHere.d/a': '1',
    'quiet.d/a': '1',
  });
  const current = make({
    untouched: '1',
    mine: '2',
    theirs: '1',
    both: '2',
    alike: '3',
    goneThere: '2',
    newBoth: 'x',
    newAlike: 'same',
    newMine: 'x',
    'dir.d/x': '1',
  });
  const fresh = make({
    untouched: '1',
    mine: '1',
    theirs: '2',
    both: '-> elsewhere',
    alike: '3',
    goneHere: '2',
    'goneHere.d/a': '2',
    'quiet.d/a': '1',
    newBoth: 'y',
    newAlike: 'same',
    newTheirs: 'x',
    'dir.d/x': '2',
  });
  assert.deepEqual(findEtcConflicts({ defaults, current, fresh }), [
    { path: 'both', here: 'modified', defaults: 'modified' },
    { path: 'dir.d/x', here: 'added', defaults: 'added' },
    { path: 'goneHere', here: 'removed', defaults: 'modified' },
    { path: 'goneHere.d', here: 'removed', defaults: 'modified' },
    { path: 'goneThere', here: 'modified', defaults: 'removed' },
    { path: 'newBoth', here: 'added', defaults: 'added' },
  ]);
});

test('a link of the new defaults is not followed to what stands against a local file', () => {
  const defaults = make({ 'a.d/x': '1', 'a.d/y/z': '1', 'b.d/x': '1' });
  const current = make({ 'a.d/x': '2', 'a.d/y/z': '2', 'b.d/x': '1', 'b.d/new': 'here' });
  const elsewhere = make({ x: '3', new: 'there' });
  // One link leads in a circle, the other out of the tree.
  const fresh = make({ 'a.d': '-> a.d', 'b.d': `-> ${elsewhere}` });
  assert.deepEqual(findEtcConflicts({ defaults, current, fresh }), [
    { path: 'a.d/x', here: 'modified', defaults: 'removed' },
    { path: 'a.d/y/z', here: 'modified', defaults: 'removed' },
  ]);
});
