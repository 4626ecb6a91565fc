// Packages layered on an RPM tree by its own dnf and rpm.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Repo, readFileAt } from '@atomic/ostree';
import { readCommitPackages } from '@atomic/pkgdb';
import { RpmLayeringLab } from '../rpm/layering-lab.ts';
import { rpmToolsMissing } from '../rpm/rpm-package.ts';
import { cachedir, stateFolder } from '../vm/setup.ts';

const whyNot =
  (process.getuid?.() !== 0 && 'needs root') ||
  rpmToolsMissing() ||
  (process.env['RPM_MACHINE'] === undefined ? 'takes minutes: make rpm-test' : false);

describe('packages on an RPM tree', { skip: whyNot, concurrency: 1, timeout: 20 * 60_000 }, () => {
  let lab: RpmLayeringLab;
  before(async () => {
    const path = join(stateFolder('rpm-trees'), 'repo');
    const composed = existsSync(path) ? Repo.open(path) : Repo.create(path, { mode: 'archive' });
    lab = await RpmLayeringLab.open(cachedir, composed);
  });
  after(async () => await lab?.[Symbol.asyncDispose]());
  const nevras = (commit: string): Set<string> =>
    new Set((readCommitPackages(lab.sysroot.repo, commit) ?? []).map((p) => `${p.name}-${p.version}-${p.release}`));

  test('a package of a repository, and what it needs', async () => {
    const { commit, changes } = await lab.assemble({ install: ['file'] });
    assert.ok(commit !== null);
    assert.deepEqual(
      changes.map(({ name, from }) => [name, from]),
      [
        ['file', null],
        ['libmagic-mgc', null],
        ['libmagic1', null],
      ],
    );
    assert.ok(readFileAt(lab.sysroot.repo, commit, '/usr/bin/file').length > 1000);
    const has = nevras(commit);
    assert.ok([...has].some((name) => name.startsWith('file-')));
    assert.equal(has.size, nevras(lab.base).size + 3);
  });
});
