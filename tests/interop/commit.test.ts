import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { lsetxattr } from '@atomic/linux';

const STOCK = '/usr/bin/ostree';
const OURS = join(import.meta.dirname, '../../bin/ostree');
const skip =
  lstatSync(STOCK, { throwIfNoEntry: false }) === undefined || process.getuid?.() !== 0
    ? 'needs the stock ostree tool, and root for owners'
    : false;

let work: string;
const at = (path: string) => join(work, path);

function run(program: string, args: readonly string[], input?: string): string {
  const { stdout, stderr } = spawnSync(program, args, { cwd: work, encoding: 'utf8', input });
  // Our hints stand on a line of their own.
  return `${stdout}${stderr}`.replace(/^ {2}hint: .*\n/gm, '');
}

before(() => {
  if (skip !== false) return;
  work = mkdtempSync(join(tmpdir(), 'atomic-commit-'));
  for (const folder of ['t/a/b', 't/usr/lib/modules/6.1.0', 't/usr/bin', 't/empty', 'over/a', 'over/c']) {
    mkdirSync(at(folder), { recursive: true });
  }
  const files: Record<string, string> = {
    't/a/f': 'hi',
    't/a/b/g': 'x',
    't/usr/bin/run': '#!/bin/sh',
    't/usr/lib/modules/6.1.0/vmlinuz': 'k',
    't/empty-file': '',
    't/large': 'large '.repeat(500_000),
    'over/a/f': 'over',
    'over/c/n': 'n',
    statoverride: '2048 /a/f\n=384 /a/b/g\n+1 /a/b\n=448 /a\n',
    'skip-list': '/a/b\n/empty-file\n',
    'bad-statoverride': '1 /nosuch\n2 /other\n',
  };
  for (const [path, content] of Object.entries(files)) writeFileSync(at(path), content);
  symlinkSync('f', at('t/a/l'));
  linkSync(at('t/a/f'), at('t/a/hard'));
  chmodSync(at('t/usr/bin/run'), 0o4755);
  chmodSync(at('t/a/b/g'), 0o777);
  chownSync(at('t/a/b'), 12, 34);
  lsetxattr(at('t/a/f'), 'user.foo', Buffer.from('bar'));
  lsetxattr(at('t/a'), 'user.dir', Buffer.from('bar'));
  run('tar', ['--xattrs', '-cf', 't.tar', '-C', 't', '.']);
  run('tar', ['--format=pax', '--xattrs', '-cJf', 't.tar.xz', '-C', 't', '.']);
  run('tar', ['-cf', 'part.tar', '-C', 't', 'usr/bin/run', 'a/f']);
});
after(() => {
  if (skip === false) rmSync(work, { recursive: true, force: true });
});

const MODIFIERS = [
  ['--owner-uid=7', '--owner-gid=0'],
  ['--canonical-permissions'],
  ['--mode-ro-executables'],
  ['--no-xattrs'],
  ['--statoverride=statoverride'],
  ['--bootable'],
];
const SOURCES = [
  ['t'],
  ['--tree=dir=t', '--tree=dir=over'],
  ['--tree=dir=over', '--tree=dir=t'],
  ['--tree=ref=base', '--tree=dir=t'],
  ['--tree=dir=t', '--tree=ref=base'],
  ['--base=base', '--tree=dir=t'],
  ['--tree=tar=t.tar'],
];

const CASES: readonly (readonly [mode: string, args: readonly string[]])[] = [
  ...SOURCES.map((source) => ['bare', source] as const),
  ...['bare-user', 'bare-user-only', 'archive'].map((mode) => [mode, ['--tree=ref=base', '--tree=dir=t']] as const),
  ...MODIFIERS.flatMap((modifier) => [
    ['bare', [...modifier, '--tree=ref=base', '--tree=dir=t']] as const,
    ['archive', [...modifier, '--tree=tar=t.tar']] as const,
  ]),
  ['bare', ['--skip-list=skip-list', 't']],
  ['archive', ['--tree=tar=t.tar.xz']],
  ['archive', ['--tree=tar=part.tar']],
  ['archive', ['--tree=tar=part.tar', '--tar-autocreate-parents', '--owner-uid=5']],
  ['archive', ['--tree=tar=t.tar', '--tar-pathname-filter=(a|usr)/,\\1x/', '--tar-autocreate-parents']],
  ['archive', ['--tree=tar=t.tar', '--tar-pathname-filter=a']],
  ['archive', ['--tree=tar=nosuch']],
  ['archive', ['--tree=tar=statoverride']],
  ['archive', ['--tree=foo']],
  ['archive', ['--tree=foo=bar']],
  ['archive', ['nosuch']],
  ['archive', ['t', '--statoverride=bad-statoverride']],
  ['archive', ['t', '--skip-list=bad-statoverride']],
  ['archive', ['t', '--add-metadata=x=[1,2]', "--add-metadata=y=(uint32 4, 'x')", '--add-metadata-string=z=w']],
  ['archive', ['t', '--add-metadata=x=@@']],
  ['archive', ['t', '--bootable', '--add-metadata-string=a=b', '--add-metadata-string=version=1', '--bind-ref=zz']],
  ['archive', ['t', '--parent=none', '--bind-ref=zz', '--bind-ref=aa', '-s', 'subject', '-m', 'body']],
  ['archive', ['t', '--no-bindings', '--orphan']],
  ['archive', ['t', '--parent=abc']],
  ['archive', ['t', '--keep-metadata=version']],
  ['bare', ['--table-output', '--tree=dir=t', '--tree=ref=base', '--tree=dir=over']],
  ['bare-user-only', ['--table-output', 't']],
];

for (const [mode, args] of CASES) {
  test(`as stock: ${mode} ${args.join(' ')}`, { skip }, () => {
    const outputs = [STOCK, OURS].map((program) => {
      rmSync(at('repo'), { recursive: true, force: true });
      run(STOCK, ['init', '--repo=repo', `--mode=${mode}`]);
      run(STOCK, ['commit', '--repo=repo', '-b', 'base', '--timestamp=@5', '--tree=dir=over']);
      const output = run(program, ['commit', '--repo=repo', '-b', 'main', '--timestamp=@7', ...args]);
      assert.match(run(STOCK, ['fsck', '--repo=repo']), /no errors found/);
      return output;
    });
    assert.equal(outputs[1], outputs[0]);
  });
}

test('a message from an editor', { skip }, () => {
  const editor = at('editor');
  writeFileSync(editor, '#!/bin/sh\nprintf "\\n# no\\nThe subject\\n\\nBody, \\n# no\\nmore\\n\\n" > "$1"\n', {
    mode: 0o755,
  });
  const outputs = [STOCK, OURS].map((program) => {
    rmSync(at('repo'), { recursive: true, force: true });
    run(STOCK, ['init', '--repo=repo', '--mode=archive']);
    const args = ['commit', '--repo=repo', '-b', 'main', '--timestamp=@7', '-e', 't'];
    spawnSync(program, args, { cwd: work, env: { ...process.env, OSTREE_EDITOR: editor } });
    return run(STOCK, ['show', '--repo=repo', '--raw', 'main']);
  });
  assert.match(outputs[0] ?? '', /The subject/);
  assert.equal(outputs[1], outputs[0]);
});
