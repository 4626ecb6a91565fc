import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lchownSync,
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
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lsetxattr, readXattrs } from '@atomic/linux';
import { deploy, makeOrigin, mergeEtc, readEtcReport, Sysroot } from '@atomic/sysroot';
import fc from 'fast-check';

/**
 * The /etc merge on random trees, three ways: by stock's `ostree admin deploy`, by our deploy, by our merge alone. The
 * same trees in each run: each new seed may meet one more thing that stock alone does, and `FUZZ_SEED` tries others.
 */
const CASES = 200;
const CLASHES = 5;

const stockThere = spawnSync('ostree', ['--version']).status === 0;
const skip = process.getuid?.() !== 0 ? 'needs root (owners, deployments)' : stockThere ? false : 'needs stock ostree';
const scratch = mkdtempSync(join(tmpdir(), 'atomic-etc-property-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

const env = { ...process.env, OSTREE_SYSROOT_DEBUG: 'mutable-deployments' };
const stock = (...args: string[]) => spawnSync('ostree', args, { encoding: 'utf8', env });
function must(...args: string[]): string {
  const { status, stdout, stderr } = stock(...args);
  assert.equal(status, 0, `ostree ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

interface Common {
  owner: number;
  mode: number;
  attribute: string | null;
}
type Node =
  | ({ kind: 'file'; text: string } & Common)
  | ({ kind: 'dir'; entries: Record<string, Node> } & Common)
  | { kind: 'link'; target: string; owner: number };
type Dir = Extract<Node, { kind: 'dir' }>;

const common = { owner: fc.constantFrom(0, 0, 0, 7), attribute: fc.constantFrom(null, null, null, 'a', 'b') };
const file: fc.Arbitrary<Node> = fc.record({
  kind: fc.constant('file' as const),
  text: fc.constantFrom('', 'one', 'two', 'long\n'.repeat(4000)),
  mode: fc.constantFrom(0o644, 0o644, 0o600, 0o4755, 0o440),
  ...common,
});
const link: fc.Arbitrary<Node> = fc.record({
  kind: fc.constant('link' as const),
  target: fc.constantFrom('nowhere', 'p', '../q', '/dev/null'),
  owner: common.owner,
});
const dir = (depth: number): fc.Arbitrary<Dir> =>
  fc.record({
    kind: fc.constant('dir' as const),
    mode: fc.constantFrom(0o755, 0o755, 0o700, 0o1777, 0o2755),
    entries: fc.dictionary(
      fc.constantFrom('p', 'q', 'r', 'with space', 'gr\u00fc\u00df'),
      depth === 0 ? fc.oneof(file, file, link) : fc.oneof(file, file, link, dir(depth - 1), dir(depth - 1)),
      { maxKeys: 4 },
    ),
    ...common,
  });

/** A tree and what became of it: mostly the same, here and there something else. */
function mutate(node: Dir, other: Dir, keep: () => number): Dir {
  const entries: Record<string, Node> = {};
  for (const [name, child] of Object.entries(node.entries)) {
    const dice = keep();
    if (dice === 0) continue; // removed
    const theirs = other.entries[name];
    if (dice === 1 && theirs !== undefined) entries[name] = theirs;
    else if (dice === 2 && child.kind !== 'link') entries[name] = { ...child, mode: child.mode ^ 0o055 };
    else if (dice === 3 && child.kind !== 'link') entries[name] = { ...child, owner: 7 - child.owner };
    else if (child.kind === 'dir') entries[name] = mutate(child, theirs?.kind === 'dir' ? theirs : other, keep);
    else entries[name] = child;
  }
  for (const [name, child] of Object.entries(other.entries)) {
    if (node.entries[name] === undefined && keep() < 5) entries[name] = child;
  }
  return { ...node, entries };
}

const choice = fc.infiniteStream(fc.nat(9));
const example = fc.tuple(dir(2), dir(2), dir(2), choice).map(([defaults, a, b, stream]) => {
  const next = () => {
    const { value, done } = stream.next();
    assert.ok(done !== true && typeof value === 'number');
    return value;
  };
  return { defaults, current: mutate(defaults, a, next), fresh: mutate(defaults, b, next) };
});

function write(path: string, node: Node): void {
  if (node.kind === 'link') {
    symlinkSync(node.target, path);
    lchownSync(path, node.owner, node.owner);
    return;
  }
  if (node.kind === 'file') writeFileSync(path, node.text);
  else {
    mkdirSync(path);
    for (const [name, child] of Object.entries(node.entries)) write(join(path, name), child);
  }
  chownSync(path, node.owner, node.owner);
  if (node.attribute !== null) lsetxattr(path, 'user.test', Buffer.from(node.attribute));
  chmodSync(path, node.mode);
}

/** Everything of a tree that a merge may touch. */
function read(path: string, into: Record<string, unknown> = {}, name = ''): Record<string, unknown> {
  const stat = lstatSync(path);
  const xattrs = stat.isSymbolicLink() ? [] : readXattrs(path).map((x) => `${x.name}=${Buffer.from(x.value)}`);
  const what = stat.isSymbolicLink() ? readlinkSync(path) : stat.isFile() ? readFileSync(path, 'utf8') : 'folder';
  into[name] = [stat.mode.toString(8), stat.uid, stat.gid, what, xattrs.sort().join(' ')];
  if (stat.isDirectory())
    for (const child of readdirSync(path).sort()) read(join(path, child), into, `${name}/${child}`);
  return into;
}

/** Whether a folder here is a link there, on any level: stock follows it, to wherever it leads; ours refuses. */
const throughLink = (here: Dir, there: Dir): boolean =>
  Object.entries(here.entries).some(([name, child]) => {
    const other = there.entries[name];
    return child.kind === 'dir' && (other?.kind === 'link' || (other?.kind === 'dir' && throughLink(child, other)));
  });

function makeTree(cases: readonly { name: string; node: Node }[]): string {
  const tree = mkdtempSync(join(scratch, 'tree-'));
  for (const name of ['sysroot', 'var', 'boot', 'usr/bin', 'usr/etc', 'usr/lib/modules/6.1'])
    mkdirSync(join(tree, name), { recursive: true });
  writeFileSync(join(tree, 'usr/lib/os-release'), 'ID=test\nPRETTY_NAME="Test OS"\n');
  writeFileSync(join(tree, 'usr/lib/modules/6.1/vmlinuz'), 'kernel');
  writeFileSync(join(tree, 'usr/lib/modules/6.1/initramfs.img'), 'initramfs');
  for (const { name, node } of cases) write(join(tree, 'usr/etc', name), node);
  return tree;
}

test(`stock and ours merge the same (${CASES} random trees)`, { skip }, async (t) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? 1);
  t.diagnostic(`FUZZ_SEED=${seed}`);
  const samples = fc.sample(example, { numRuns: CASES, seed }).map((one, n) => ({ name: `case${n}`, ...one }));

  // Which of them clash: ours says; stock is asked about some of both kinds.
  const apart = join(scratch, 'apart');
  mkdirSync(apart);
  const clashes = samples.filter(({ name, ...trees }) => {
    const base = join(apart, name);
    mkdirSync(base);
    for (const [part, node] of Object.entries(trees)) write(join(base, part), node);
    try {
      mergeEtc({ defaults: join(base, 'defaults'), current: join(base, 'current'), target: join(base, 'fresh') });
      return false;
    } catch (error) {
      assert.match(String(error), /During \/etc merge/);
      return true;
    }
  });
  const clashing = new Set(clashes.map(({ name }) => name));
  let merging = samples.filter(({ name }) => !clashing.has(name));

  const root = join(scratch, 'root');
  mkdirSync(root);
  must('admin', 'init-fs', root);
  must('admin', `--sysroot=${root}`, 'os-init', 'test');
  must('config', `--repo=${root}/ostree/repo`, 'set', 'core.fsync', 'false');
  const commit = (branch: string, part: 'defaults' | 'fresh') => {
    const tree = makeTree(samples.map((one) => ({ name: one.name, node: one[part] })));
    return must('commit', `--repo=${root}/ostree/repo`, `--branch=${branch}`, `--tree=dir=${tree}`);
  };
  commit('one', 'defaults');
  const second = commit('two', 'fresh');
  must('admin', `--sysroot=${root}`, 'deploy', '--os=test', 'one');
  const [first] = Sysroot.open(root).load().deployments;
  assert.ok(first);
  const tree = join(root, first.path);
  const edit = (name: string, node: Node) => {
    rmSync(join(tree, 'etc', name), { recursive: true });
    write(join(tree, 'etc', name), node);
  };

  let refused = 0;
  const both = clashes.filter(({ current, fresh }) => !throughLink(current, fresh));
  for (const { name, defaults, current } of both.slice(0, CLASHES)) {
    edit(name, current);
    const result = stock('admin', `--sysroot=${root}`, 'deploy', '--os=test', 'two');
    assert.notEqual(result.status, 0, `${name} (seed ${seed}): ours refuses, stock merges`);
    assert.match(result.stderr, /During \/etc merge/);
    refused++;
    edit(name, defaults);
  }

  for (const { name, current } of merging) edit(name, current);
  const copy = join(scratch, 'copy');
  let kinder = 0;
  for (;;) {
    execFileSync('cp', ['-a', root, copy]);
    const { status, stderr } = stock('admin', `--sysroot=${root}`, 'deploy', '--os=test', 'two');
    if (status === 0) break;
    // Stock fails where what was removed here lay in a folder that the new tree has as a file or a link in a circle; ours
    // is content that it is gone.
    const gone = /During \/etc merge: unlinkat\((case\d+)\/.*\): (Not a directory|Too many levels)/.exec(stderr)?.[1];
    const one = merging.find(({ name }) => name === gone);
    assert.ok(one !== undefined && ++kinder <= CLASHES, stderr);
    merging = merging.filter((other) => other !== one);
    edit(one.name, one.defaults);
    rmSync(copy, { recursive: true });
  }
  const theirs = Sysroot.open(root).load().deployments[0];
  const sysroot = Sysroot.open(copy, { mutableDeployments: true });
  const ours = await deploy(sysroot, { os: 'test', rev: second, origin: makeOrigin('two') });
  assert.equal(theirs?.path, ours.path);
  for (const { name } of merging) {
    const wanted = read(join(root, ours.path, 'etc', name));
    assert.deepEqual(read(join(copy, ours.path, 'etc', name)), wanted, `deploy: ${name}, seed ${seed}`);
    assert.deepEqual(read(join(apart, name, 'fresh')), wanted, `merge: ${name}, seed ${seed}`);
  }
  assert.deepEqual(
    readdirSync(join(copy, ours.path, 'etc')).sort(),
    readdirSync(join(root, ours.path, 'etc')).sort(),
    'and nothing else is there',
  );
  const report = readEtcReport(sysroot, ours);
  assert.ok(report?.final && report.conflicts.length > 0, 'what both sides changed is reported');
  assert.ok(merging.length > CASES / 2 && refused > 0, `${merging.length} merged, ${refused} refused`);
  t.diagnostic(
    `${merging.length} trees merged alike, ${refused} of ${clashes.length} refusals asked of stock (${clashes.length - both.length} are for links it follows), ${kinder} that only stock refuses`,
  );
});
