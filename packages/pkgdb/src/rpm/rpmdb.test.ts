import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { evrOf, nevraOf } from '../package.ts';
import { readFolderPackages } from '../read-packages.ts';
import { folderView } from '../tree/folder-view.ts';
import { RpmHeader, TAG } from './header.ts';
import { findRpmdb, packageOfHeader, rpmHeaders } from './rpmdb.ts';
import { withWal } from './sqlite-wal.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-rpmdb-'));
after(() => rmSync(scratch, { recursive: true }));

function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const SPEC = (name: string, evr: { epoch?: number; version: string; release: string }) => `
Name: ${name}
${evr.epoch === undefined ? '' : `Epoch: ${evr.epoch}`}
Version: ${evr.version}
Release: ${evr.release}
Summary: ${name} for the tests
License: none
BuildArch: noarch
%description
It is nothing.
%package extra
Summary: more of it
%description extra
Nothing more.
%files
%files extra
%changelog
* Thu Jan 02 2020 Ann Other <ann@example.org> - 2.0-1
- Fixes CVE-2020-0001
- And more

* Wed Jan 01 2020 Somebody <some@example.org> - 1.0-1
- First
`;

const without = spawnSync('rpmbuild', ['--version']).status === 0 ? false : 'no rpmbuild here';

describe("a database that rpm's own tools made", { skip: without }, () => {
  const root = join(scratch, 'root');
  before(() => {
    const specs = [
      { name: 'plain', evr: { version: '1.0', release: '1.fc40' } },
      { name: 'with-dash', evr: { epoch: 2, version: '3.4~rc1', release: '0.2^git5' } },
    ];
    mkdirSync(root);
    for (const { name, evr } of specs) {
      writeFileSync(join(scratch, `${name}.spec`), SPEC(name, evr));
      run('rpmbuild', '-bb', '--quiet', '--define', `_topdir ${scratch}/build`, join(scratch, `${name}.spec`));
    }
    const packages = run('find', join(scratch, 'build/RPMS'), '-name', '*.rpm').trim().split('\n');
    run('rpm', '--root', root, '--dbpath', '/usr/share/rpm', '--nodeps', '--noscripts', '-i', ...packages);
  });

  test('is read as rpm -qa reads it', () => {
    const query = '%{NAME}-%{EVR}.%{ARCH} %{SOURCERPM}\\n';
    const said = run('rpm', '--root', root, '--dbpath', '/usr/share/rpm', '-qa', '--qf', query).trim().split('\n');
    const read = (readFolderPackages(root) ?? []).map(
      (one) => `${nevraOf(one)} ${one.source}-${one.version}-${one.release}.src.rpm`,
    );
    assert.equal(read.length, 4);
    assert.deepEqual([...read].sort(), said.sort());
    assert.equal(evrOf(readFolderPackages(root)?.at(-1) ?? assert.fail()), '2:3.4~rc1-0.2^git5');
  });

  test('is found behind the link that Fedora has', () => {
    const other = join(scratch, 'linked');
    mkdirSync(join(other, 'usr/lib/sysimage'), { recursive: true });
    mkdirSync(join(other, 'usr/share/rpm'), { recursive: true });
    copyFileSync(join(root, 'usr/share/rpm/rpmdb.sqlite'), join(other, 'usr/share/rpm/rpmdb.sqlite'));
    symlinkSync('../../share/rpm', join(other, 'usr/lib/sysimage/rpm'));
    assert.equal(readFolderPackages(other)?.length, 4);
  });

  test('has changelogs, newest first', () => {
    const view = folderView(root);
    const folder = findRpmdb(view) ?? assert.fail();
    const header = [...rpmHeaders(view, folder)].find((one) => packageOfHeader(one)?.name === 'plain-extra');
    assert.deepEqual(header?.strings(TAG.changelogName), [
      'Ann Other <ann@example.org> - 2.0-1',
      'Somebody <some@example.org> - 1.0-1',
    ]);
    assert.deepEqual(header?.strings(TAG.changelogText), ['- Fixes CVE-2020-0001\n- And more', '- First']);
    assert.equal(header?.numbers(TAG.changelogTime)?.[0], Date.UTC(2020, 0, 2, 12) / 1000);
  });

  test('with any bytes of it changed is read, or refused', () => {
    const path = join(root, 'usr/share/rpm/rpmdb.sqlite');
    const whole = readFileSync(path);
    const bad = join(scratch, 'bad');
    mkdirSync(join(bad, 'usr/share/rpm'), { recursive: true });
    const change = fc.record({ at: fc.nat(whole.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 30 }), fc.nat(whole.length), (changes, cut) => {
        const copy = Buffer.from(whole.subarray(0, cut % 3 === 0 ? cut : whole.length));
        for (const { at, value } of changes) if (at < copy.length) copy[at] = value;
        writeFileSync(join(bad, 'usr/share/rpm/rpmdb.sqlite'), copy);
        try {
          readFolderPackages(bad);
        } catch (error) {
          assert.match(String(error), /^AtomicError: /);
        }
      }),
      { numRuns: 150 },
    );
  });
});

test('a database whose packages are no table is refused', () => {
  const root = join(scratch, 'view');
  mkdirSync(join(root, 'usr/share/rpm'), { recursive: true });
  const db = new DatabaseSync(join(root, 'usr/share/rpm/rpmdb.sqlite'));
  db.exec(`CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS (SELECT 1 UNION ALL SELECT hnum + 1 FROM n)
    SELECT hnum, x'00' AS blob FROM n`);
  db.close();
  assert.throws(() => readFolderPackages(root), /no table of packages/);
});

test('a database whose pages point to each other has an end', () => {
  const root = join(scratch, 'circle');
  mkdirSync(join(root, 'usr/share/rpm'), { recursive: true });
  const path = join(root, 'usr/share/rpm/rpmdb.sqlite');
  const db = new DatabaseSync(path);
  db.exec('CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)');
  const insert = db.prepare('INSERT INTO Packages (blob) VALUES (zeroblob(3000))');
  db.exec('BEGIN');
  for (let i = 0; i < 300; i++) insert.run();
  db.exec('COMMIT');
  const page = Number(db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'Packages'").get()?.['rootpage']);
  db.close();
  const bytes = readFileSync(path);
  const [size, start] = [bytes.readUInt16BE(16), (page - 1) * bytes.readUInt16BE(16)];
  assert.equal(bytes[start], 5, 'an inner page');
  const cells = bytes.readUInt16BE(start + 3);
  const leaf = bytes.readUInt32BE(start + bytes.readUInt16BE(start + 12));
  for (let i = 0; i < cells; i++) bytes.writeUInt32BE(leaf, start + bytes.readUInt16BE(start + 12 + i * 2));
  bytes.writeUInt32BE(leaf, start + 8);
  const pages = Math.max(page, leaf) + 1;
  bytes.writeUInt32BE(pages, 28);
  writeFileSync(path, bytes.subarray(0, pages * size));
  assert.throws(() => [...rpmHeaders(folderView(root), 'usr/share/rpm')], /contains itself/);
});

test('the formats before SQLite are named', () => {
  const root = join(scratch, 'ndb');
  mkdirSync(join(root, 'usr/lib/sysimage/rpm'), { recursive: true });
  writeFileSync(join(root, 'usr/lib/sysimage/rpm/Packages.db'), '');
  assert.throws(() => readFolderPackages(root), /Packages\.db is an RPM database of a format/);
});

test('headers of any bytes are read, or refused', () => {
  const tags = Object.values(TAG);
  const index = fc.array(
    fc.tuple(fc.constantFrom(...tags), fc.nat(10), fc.oneof(fc.nat(40), fc.nat(0xffffffff)), fc.nat(0xffffffff)),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(index, fc.uint8Array({ maxLength: 40 }), fc.boolean(), (entries, data, honest) => {
      const head = Buffer.alloc(8 + entries.length * 16);
      head.writeUInt32BE(honest ? entries.length : entries.length * 3, 0);
      head.writeUInt32BE(data.length, 4);
      for (const [i, entry] of entries.entries()) {
        for (const [j, number] of entry.entries()) head.writeUInt32BE(number, 8 + i * 16 + j * 4);
      }
      try {
        const header = new RpmHeader(Buffer.concat([head, data]));
        for (const tag of tags) {
          header.strings(tag);
          header.numbers(tag);
        }
        packageOfHeader(header);
      } catch (error) {
        assert.match(String(error), /^AtomicError: /);
      }
    }),
  );
});

test('a write-ahead log counts as it does for SQLite', () => {
  for (const [label, statements, cut] of [
    ['whole', ['INSERT INTO t VALUES (1)', 'INSERT INTO t VALUES (2)'], 0],
    ['its last frame torn', ['INSERT INTO t VALUES (1)', 'INSERT INTO t VALUES (2)'], 1],
    [
      'with a table that made the file grow',
      ['CREATE TABLE u AS SELECT zeroblob(9000) AS b', 'INSERT INTO t VALUES (3)'],
      0,
    ],
    ['of nothing', [], 0],
  ] as const) {
    const path = join(scratch, `${label}.db`);
    const db = new DatabaseSync(path);
    db.exec('PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n)');
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    for (const statement of statements) db.exec(statement);
    const wal = readFileSync(`${path}-wal`);
    const torn = wal.subarray(0, wal.length - cut);
    const ours = new DatabaseSync(':memory:');
    ours.deserialize(withWal(readFileSync(path), torn));
    const aside = join(scratch, `${label}-aside.db`);
    copyFileSync(path, aside);
    writeFileSync(`${aside}-wal`, torn);
    const theirs = new DatabaseSync(aside);
    assert.deepEqual(ours.prepare('SELECT n FROM t').all(), theirs.prepare('SELECT n FROM t').all(), label);
    assert.deepEqual(ours.prepare('PRAGMA integrity_check').all(), theirs.prepare('PRAGMA integrity_check').all());
    for (const one of [db, ours, theirs]) one.close();
  }
});
