import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { diffEtc, mergeEtc } from './etc-merge.ts';

// A tree in memory, and what upstream's rules make of three of them: written from the rules, not from the code.
type Leaf = { kind: 'file'; text: string; mode: number } | { kind: 'link'; target: string };
interface Dir {
  kind: 'dir';
  mode: number;
  entries: Map<string, Node>;
}
type Node = Leaf | Dir;
class Clash extends Error {}

const clone = (node: Node): Node =>
  node.kind === 'dir'
    ? { ...node, entries: new Map([...node.entries].map(([name, child]) => [name, clone(child)])) }
    : { ...node };
const own = (node: Node) => (node.kind === 'dir' ? String(node.mode) : JSON.stringify(node));

/** The new folder `n` with what `m` changed of `o` applied; `made` says it was copied from `m` whole. */
function model(o: Dir, m: Dir, n: Dir, top: boolean): Dir {
  const out = clone(n);
  if (out.kind !== 'dir') throw new Error('not a folder');
  let touched = false;
  const put = (name: string, mine: Node) => {
    touched = true;
    const there = out.entries.get(name);
    if (there?.kind === 'dir') {
      if (mine.kind !== 'dir') throw new Clash(name);
    } else out.entries.set(name, clone(mine));
  };
  for (const [name] of o.entries) if (!m.entries.has(name)) out.entries.delete(name);
  for (const [name, mine] of m.entries) {
    const orig = o.entries.get(name);
    if (orig === undefined) {
      const there = out.entries.get(name);
      put(name, mine);
      if (mine.kind === 'dir' && there?.kind === 'dir') {
        const none: Dir = { kind: 'dir', mode: 0, entries: new Map() };
        out.entries.set(name, model(none, mine, there, false));
      }
    } else if (orig.kind !== mine.kind) put(name, mine);
    else {
      const changed = own(orig) !== own(mine);
      if (changed) put(name, mine);
      if (mine.kind !== 'dir' || orig.kind !== 'dir') continue;
      const there = out.entries.get(name);
      if (there?.kind === 'dir') {
        const before = n.entries.get(name);
        // Copied whole just now: nothing more to apply.
        if (before?.kind === 'dir') out.entries.set(name, model(orig, mine, there, false));
      } else if (hasPuts(orig, mine)) {
        if (there !== undefined) throw new Clash(name);
        const empty: Dir = { kind: 'dir', mode: mine.mode, entries: new Map() };
        const made = model(orig, mine, empty, false);
        out.entries.set(name, { ...made, mode: mine.mode });
      }
    }
  }
  if (touched && !top) out.mode = m.mode;
  return out;
}

/** Whether anything below has to be copied. */
const hasPuts = (o: Dir, m: Dir): boolean =>
  [...m.entries].some(([name, mine]) => {
    const orig = o.entries.get(name);
    if (orig === undefined || orig.kind !== mine.kind || own(orig) !== own(mine)) return true;
    return orig.kind === 'dir' && mine.kind === 'dir' && hasPuts(orig, mine);
  });

function write(path: string, node: Node): void {
  if (node.kind === 'link') symlinkSync(node.target, path);
  else if (node.kind === 'file') {
    writeFileSync(path, node.text);
    chmodSync(path, node.mode);
  } else {
    mkdirSync(path);
    for (const [name, child] of node.entries) write(join(path, name), child);
    chmodSync(path, node.mode);
  }
}

function read(path: string): Node {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return { kind: 'link', target: readlinkSync(path) };
  const mode = stat.mode & 0o7777;
  if (!stat.isDirectory()) return { kind: 'file', text: readFileSync(path, 'utf8'), mode };
  const entries = new Map(
    readdirSync(path)
      .sort()
      .map((name) => [name, read(join(path, name))]),
  );
  return { kind: 'dir', mode, entries };
}

const sorted = (node: Node): Node =>
  node.kind === 'dir'
    ? {
        ...node,
        entries: new Map([...node.entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, sorted(v)])),
      }
    : node;

const leaf: fc.Arbitrary<Node> = fc.oneof(
  fc
    .tuple(fc.constantFrom('', 'a', 'b'), fc.constantFrom(0o644, 0o600))
    .map(([text, mode]): Node => ({ kind: 'file', text, mode })),
  fc.constantFrom('nowhere', 'gone').map((target): Node => ({ kind: 'link', target })),
);
const directory = (depth: number): fc.Arbitrary<Dir> =>
  fc
    .tuple(
      fc.constantFrom(0o755, 0o700),
      fc.dictionary(fc.constantFrom('p', 'q', 'r'), depth === 0 ? leaf : fc.oneof(leaf, directory(depth - 1)), {
        maxKeys: 3,
      }),
    )
    .map(([mode, entries]) => ({ kind: 'dir', mode, entries: new Map(Object.entries(entries)) }));

const scratch = mkdtempSync(join(tmpdir(), 'atomic-etc-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

test('any three trees merge as the rules say', () => {
  let clashes = 0;
  let merges = 0;
  fc.assert(
    fc.property(directory(2), directory(2), directory(2), (defaults, current, fresh) => {
      const base = mkdtempSync(join(scratch, 'case-'));
      try {
        write(join(base, 'o'), defaults);
        write(join(base, 'm'), current);
        write(join(base, 'n'), fresh);
        let expected: Node | null = null;
        try {
          expected = sorted(model(defaults, current, fresh, true));
        } catch (error) {
          if (!(error instanceof Clash)) throw error;
        }
        const merge = () => mergeEtc({ defaults: join(base, 'o'), current: join(base, 'm'), target: join(base, 'n') });
        if (expected === null) {
          clashes++;
          assert.throws(merge, /During \/etc merge/);
        } else {
          merges++;
          merge();
          assert.deepEqual(read(join(base, 'n')), expected);
        }
        assert.deepEqual(read(join(base, 'm')), sorted(current), 'what runs is not touched');
      } finally {
        rmSync(base, { recursive: true, force: true });
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(clashes > 0 && merges > 100, `${clashes} clashes, ${merges} merges: the generator covers both`);
});

test('names that are not text, sockets, and a link where a folder was', async () => {
  const at = (...parts: string[]) => join(scratch, 'odd', ...parts);
  for (const tree of ['o', 'm', 'n']) mkdirSync(at(tree, 'dir'), { recursive: true });
  const latin = Buffer.concat([Buffer.from(`${at('m')}/caf`), Buffer.from([0xe9])]);
  writeFileSync(latin, 'drink');
  writeFileSync(at('n', 'socket'), 'default');
  writeFileSync(at('o', 'socket'), 'default');
  const server = createServer().listen(at('m', 'socket'));
  try {
    await new Promise((resolve) => server.once('listening', resolve));
    const diff = diffEtc(at('o'), at('m'));
    assert.deepEqual(diff, { removed: [], modified: ['socket'], added: ['caf\xe9'] });
    mergeEtc({ defaults: at('o'), current: at('m'), target: at('n') });
    assert.deepEqual(
      readFileSync(Buffer.concat([Buffer.from(`${at('n')}/caf`), Buffer.from([0xe9])])).toString(),
      'drink',
    );
    assert.ok(!existsSync(at('n', 'socket')));
  } finally {
    server.close();
  }
  // New defaults turned a folder into a link that leads outside: nothing may be written there.
  rmSync(at('n', 'dir'), { recursive: true });
  mkdirSync(at('outside'));
  symlinkSync(at('outside'), at('n', 'dir'));
  writeFileSync(at('m', 'dir', 'mine'), 'x');
  assert.throws(() => mergeEtc({ defaults: at('o'), current: at('m'), target: at('n') }), /is no folder/);
  assert.deepEqual(readdirSync(at('outside')), []);
});
