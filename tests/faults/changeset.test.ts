import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { makeWhiteout } from '@atomic/linux';
import { makeProgram } from './program.ts';
import { contents, fsckProblems, makeTree, type Scenario, stock } from './scenarios.ts';
import { missing, testScenario } from './sweep-test.ts';

const skip = missing();
const scratch = mkdtempSync('/var/tmp/atomic-faults-');
after(() => rmSync(scratch, { recursive: true, force: true }));
const program = skip === false ? await makeProgram(join(scratch, 'program'), 'machine') : [];

const repo = (folder: string): string => join(folder, 'repo');
const upper = (folder: string): string => join(folder, 'upper');
const command = (folder: string): string[] => [
  ...program,
  ...['--quiet', 'changeset', 'apply', `--repo=${repo(folder)}`, '--base=main', `--upper=${upper(folder)}`],
  ...['--branch=next', '--no-parent', '--timestamp=1700000000', '--consume'],
];

const scenario: Scenario = {
  name: 'changeset apply, its files taken over',
  prepare: (folder) => {
    stock('init', `--repo=${repo(folder)}`, '--mode=bare');
    makeTree(join(folder, 'tree'), 'some');
    stock('commit', `--repo=${repo(folder)}`, '--branch=main', '--timestamp=@1700000000', join(folder, 'tree'));
    mkdirSync(join(upper(folder), 'sub/new'), { recursive: true });
    for (const name of ['added', 'sub/new/first', 'sub/new/second']) writeFileSync(join(upper(folder), name), name);
    makeWhiteout(join(upper(folder), 'sub/deep'), 0o600);
  },
  command,
  // Gone, it has been applied.
  resume: (folder) => (existsSync(upper(folder)) ? command(folder) : ['true']),
  result: (folder) => contents(repo(folder)),
  problems: (folder) => {
    const whole = ['added', 'sub/new/first', 'sub/new/second'].every((name) => existsSync(join(upper(folder), name)));
    const applied = existsSync(join(repo(folder), 'refs/heads/next'));
    const lost = existsSync(upper(folder)) ? !whole : !applied;
    return [...fsckProblems(repo(folder)), ...(lost ? ['the changeset is lost'] : [])];
  },
};

const all = process.env['FAULTS'] === 'all';
testScenario(scenario, { skip, scratch, logs: scratch, errors: all ? 'all' : 'one', every: all ? 1 : 6 });
