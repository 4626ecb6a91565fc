import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Lock, loadTreefile, planPackages } from '@atomic/compose';
import { AptRepo, missingForApt, missingForInstall } from './apt-repo.ts';

describe('how apt is asked for a tree', { skip: missingForApt() }, () => {
  const work = mkdtempSync(join(tmpdir(), 'atomic-apt-'));
  const main = new AptRepo(join(work, 'main'));
  after(() => rmSync(work, { recursive: true, force: true }));
  before(() => {
    main.add({ name: 'usr-is-merged', version: '1', essential: true });
    main.add({ name: 'app', version: '1.0' });
    main.publish();
  });

  const plan = (text: string, lock?: Lock) => {
    const path = join(work, 'tree.yaml');
    writeFileSync(path, `suite: none\ncontainer: true\n${text}`);
    return planPackages({ treefile: loadTreefile(path), cachedir: join(work, 'cache'), lock });
  };

  test('a lock of any length reaches the installation', { skip: missingForInstall() }, async () => {
    for (const length of [3, 3000]) {
      const packages = Array.from({ length }, (_, index) => ({ name: `package-with-a-name-${index}`, evr: '1:2.3-4' }));
      const { manager, request } = await plan(`packages: [app]\nrepos: ["${main.line}"]\n`, {
        packages,
        strict: false,
      });
      // Nothing here could be installed for good: no package brings a dpkg to run.
      await assert.rejects(manager.install(join(work, 'installed'), request, {}), /installing packages failed/);
    }
  });
});
