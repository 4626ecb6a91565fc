import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { measure, run } from '../../bench/measure.ts';
import { notRoot, stockMissing } from './store-tree.ts';

// Minutes, and tens of gigabytes of disk: `make huge`.
const { HUGE } = process.env;
const skip = HUGE === undefined ? 'takes minutes and 30 GB of disk: make huge' : notRoot || stockMissing;
const GIB = 2 ** 30;
const SIZE = 5 * GIB;
const MANY = 100_000;
/** MiB that no operation of ours may need more of. */
const MEMORY = 250;

const root = join(import.meta.dirname, '../..');
const OURS = join(root, 'bin/ostree');
const STOCK = '/usr/bin/ostree';
const scratch = skip === false ? mkdtempSync(join(HUGE || '/var/tmp', 'atomic-huge-')) : '';
after(() => {
  if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
});

/** Runs ours, and holds it to its memory. */
function ours(...args: string[]): void {
  const { peak, seconds, cpu } = measure([OURS, ...args], scratch);
  console.log(`${args[0]}: ${seconds.toFixed(1)} s, ${cpu.toFixed(1)} s of processor, ${Math.round(peak)} MiB`);
  assert.ok(peak <= MEMORY, `ostree ${args.join(' ')} needed ${Math.round(peak)} MiB`);
}
const stock = (...args: string[]): string => run(scratch, STOCK, ...args);
const init = (name: string, mode: string): void => {
  stock('init', `--repo=${name}`, `--mode=${mode}`);
};
const tip = (repo: string): string => stock('rev-parse', `--repo=${repo}`, 'main');

/** Commit, fsck, check-out by copies and pull, each of ours on what stock made and the other way round. */
function bothWays(tree: string): void {
  for (const name of ['ours', 'stock', 'pulled', 'unpacked']) init(name, 'bare');
  ours('commit', '--repo=ours', '-b', 'main', '--timestamp=@1', tree);
  stock('commit', '--repo=stock', '-b', 'main', '--timestamp=@1', tree);
  assert.equal(tip('ours'), tip('stock'));
  stock('fsck', '-q', '--repo=ours');
  ours('fsck', '-q', '--repo=stock');

  ours('checkout', '-C', '--repo=stock', 'main', 'out-ours');
  stock('checkout', '-C', '--repo=ours', 'main', 'out-stock');
  for (const out of ['out-ours', 'out-stock']) {
    run(scratch, 'diff', '-r', '--no-dereference', tree, out);
    rmSync(join(scratch, out), { recursive: true });
  }
  rmSync(join(scratch, 'ours'), { recursive: true });

  init('archive', 'archive');
  ours('pull-local', '--repo=archive', 'stock', 'main');
  rmSync(join(scratch, 'stock'), { recursive: true });
  stock('pull-local', '--repo=pulled', 'archive', 'main');
  stock('fsck', '-q', '--repo=pulled');
  rmSync(join(scratch, 'pulled'), { recursive: true });
  ours('pull-local', '--repo=unpacked', 'archive', 'main');
  ours('fsck', '-q', '--repo=archive');
  stock('fsck', '-q', '--repo=unpacked');
  for (const name of ['archive', 'unpacked', tree]) rmSync(join(scratch, name), { recursive: true });
}

test('a file of 5 GiB, nearly all hole', { skip }, () => {
  const file = join(scratch, 'sparse/file');
  mkdirSync(dirname(file));
  writeFileSync(file, 'the beginning');
  truncateSync(file, SIZE);
  appendFileSync(file, 'the end');
  assert.ok(statSync(file).blocks < 100);
  bothWays('sparse');
});

test('100,000 files in one folder', { skip }, () => {
  const folder = join(scratch, 'many');
  mkdirSync(folder);
  for (let i = 0; i < MANY; i++) writeFileSync(join(folder, `file ${i}`), `${i}`);
  bothWays('many');
});
