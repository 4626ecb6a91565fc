import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SerialConsole } from './console.ts';

// A terminal with getty's prompts and then a shell, without a machine around it.
const GUEST = `#!/bin/bash
stty -echo
while :; do
  printf 'Debian ttyS0\\n\\nhost login: '; read -r user
  printf 'Password: '; read -r password; echo
  [ "$user:$password" = root:secret ] && break
  sleep 0.1; printf '\\nLogin incorrect\\n'
done
stty echo
printf 'Last login: never\\n# Welcome to $HOME\\n'
exec bash --norc -i
`;

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atomic-console-'));
  await writeFile(join(folder, 'guest'), GUEST, { mode: 0o755 });
});
after(() => rm(folder, { recursive: true }));

async function guestConsole(): Promise<{ console: SerialConsole; stop: () => void }> {
  const path = join(folder, `socket-${Math.random()}`);
  const server = createServer();
  const accepted = new Promise<Socket>((done) => server.once('connection', done));
  await new Promise<void>((done) => server.listen(path, done));
  const ours = connect(path);
  const theirs = await accepted;
  server.close();
  const child = spawn('script', ['-qfec', join(folder, 'guest'), '/dev/null'], { stdio: ['pipe', 'pipe', 'ignore'] });
  theirs.pipe(child.stdin);
  child.stdout.pipe(theirs);
  child.stdin.on('error', () => undefined);
  const console = new SerialConsole();
  console.attach(ours);
  return {
    console,
    stop: () => {
      child.kill('SIGKILL');
      ours.destroy();
      theirs.destroy();
    },
  };
}

const skip = existsSync('/usr/bin/script') ? false : 'script (bsdutils) is not installed';

test('login, then commands with their output and status', { skip, timeout: 60_000 }, async () => {
  const { console, stop } = await guestConsole();
  try {
    await console.login({ password: 'secret' });
    assert.deepEqual(await console.run('echo one; echo two >&2; exit 3'), { code: 3, output: 'one\ntwo\n' });
    assert.deepEqual(await console.run("printf %s 'it'\\''s'"), { code: 0, output: "it's" });
    assert.deepEqual(await console.run('for i in 1 2; do\n  echo "zeile $i ü"\ndone'), {
      code: 0,
      output: 'zeile 1 ü\nzeile 2 ü\n',
    });
    // Longer than what a terminal takes as one line.
    const long = 'x'.repeat(9000);
    assert.deepEqual(await console.run(`printf %s ${long} | wc -c`), { code: 0, output: '9000\n' });
    const many = await console.run('seq 20000');
    assert.equal(many.output.split('\n').length, 20001);
    // Standard input is empty, and commands wait for each other.
    const both = await Promise.all([console.run('cat; sleep 0.3; echo a'), console.run('echo b')]);
    assert.deepEqual(
      both.map((result) => result.output),
      ['a\n', 'b\n'],
    );
    await assert.rejects(console.run('sleep 5', { timeoutSeconds: 0.5 }), /did not show .* within 0.5 s/);
  } finally {
    stop();
  }
});

test('a wrong password is refused, an ended machine is noticed', { skip, timeout: 60_000 }, async () => {
  const { console, stop } = await guestConsole();
  await assert.rejects(console.login({ password: 'wrong' }), /refused the password of root/);
  const waiting = console.waitFor(/never shown/, { timeoutSeconds: 30 });
  setTimeout(stop, 100);
  await assert.rejects(waiting, /the machine stopped before/);
  assert.throws(() => console.type('x'), /the machine is off/);
});
