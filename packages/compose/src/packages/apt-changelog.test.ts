import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { InstalledPackage } from '@atomic/pkgdb';
import { fetchAptChangelogs } from './apt-changelog.ts';

const skip = spawnSync('apt-get', ['--version']).status === 0 ? false : 'no apt-get here';

test('apt fetches the changelogs of versions that a repository has', { skip }, async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'atomic-apt-changelog-'));
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const found = request.url?.endsWith('tool_2.0-1_changelog') === true;
    response.writeHead(found ? 200 : 404).end(found ? 'tool (2.0-1) unstable; urgency=low\n' : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const listing = ['tool', 'lost']
      .map(
        (name) =>
          `Package: ${name}\nSource: ${name}\nArchitecture: all\nVersion: 2.0-1\nFilename: pool/main/${name[0]}/${name}/${name}.deb\nSize: 1\nSHA256: ${'0'.repeat(64)}\n`,
      )
      .join('\n');
    const repository = join(scratch, 'repository');
    mkdirSync(repository);
    writeFileSync(join(repository, 'Packages'), listing);
    const digest = createHash('sha256').update(listing).digest('hex');
    writeFileSync(
      join(repository, 'Release'),
      `Origin: Test\nSuite: test\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nChangelogs: http://127.0.0.1:${address.port}/@CHANGEPATH@_changelog\nSHA256:\n ${digest} ${listing.length} Packages\n`,
    );
    for (const name of ['lists/partial', 'cache/archives/partial', 'etc'])
      mkdirSync(join(scratch, name), { recursive: true });
    writeFileSync(join(scratch, 'sources.list'), `deb [trusted=yes] file:${repository} ./\n`);
    writeFileSync(join(scratch, 'status'), '');
    const settings = Object.entries({
      'Dir::Etc': join(scratch, 'etc'),
      'Dir::Etc::sourcelist': join(scratch, 'sources.list'),
      'Dir::State::lists': join(scratch, 'lists'),
      'Dir::State::status': join(scratch, 'status'),
      'Dir::Cache': join(scratch, 'cache'),
      'APT::Sandbox::User': 'root',
    }).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    const update = spawnSync('apt-get', ['update', ...settings], { encoding: 'utf8' });
    assert.equal(update.status, 0, update.stderr);
    const one = (name: string, version: string): InstalledPackage => ({
      format: 'deb',
      name,
      epoch: '0',
      version,
      release: '1',
      arch: 'all',
      source: name,
    });
    const packages = [one('tool', '2.0'), one('tool', '1.0'), one('lost', '2.0')];
    assert.deepEqual(
      await fetchAptChangelogs(packages.slice(0, 1), { settings }),
      new Map([['tool', 'tool (2.0-1) unstable; urgency=low\n']]),
    );
    assert.deepEqual(await fetchAptChangelogs(packages.slice(1), { settings }), new Map());
    assert.ok(asked.some((url) => url.includes('lost')));
  } finally {
    server.close();
    rmSync(scratch, { recursive: true });
  }
});
