import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { type Bus, loggedIn, meteredConnection, shutdownInhibitors, systemBus } from './logind.ts';

/** What busctl --json=short prints for a method's answer. */
const rows = (type: string, list: unknown[][]) => JSON.stringify({ type, data: [list] });
const strings = (...values: string[]) => values.map((data) => JSON.stringify({ type: 's', data })).join('\n');

test('who is logged in: with a terminal or a screen, and not on the way out', async () => {
  // Class, State, Type, TTY.
  const sessions: Record<string, string> = {
    ann: strings('user', 'active', 'tty', 'tty1'),
    bob: strings('user', 'online', 'tty', 'pts/0'),
    cat: strings('user', 'active', 'wayland', ''),
    dan: strings('user', 'closing', 'tty', 'pts/1'),
    eve: strings('greeter', 'active', 'wayland', 'tty7'),
    sftp: strings('user', 'active', 'unspecified', ''),
    cron: strings('background', 'active', 'unspecified', 'cron'),
    root: strings('user-early', 'active', 'tty', 'ttyS0'),
    systemd: strings('manager', 'active', 'unspecified', ''),
  };
  const bus: Bus = async (args) => {
    if (args.includes('ListSessions')) {
      const list = [...Object.keys(sessions), 'gone'].map((user, at) => [`${at}`, 1000, user, '', `/session/${user}`]);
      return rows('a(susso)', list);
    }
    const user = args.find((one) => one.startsWith('/session/'))?.slice(9) ?? '';
    const found = sessions[user];
    if (found === undefined)
      throw new AtomicError('failed', `Failed to get property: Unknown object '/session/${user}'.`);
    return found;
  };
  assert.deepEqual(await loggedIn(bus), ['ann on tty1', 'bob on pts/0', 'cat on wayland', 'root on ttyS0']);
});

test('who holds off shutdowns: those that block them, not those that delay them or hold off something else', async () => {
  const bus: Bus = async () =>
    rows('a(ssssuu)', [
      ['shutdown:sleep', 'dnf', 'installing', 'block', 0, 7],
      ['shutdown', 'backup', '', 'block-weak', 0, 8],
      ['shutdown', 'NetworkManager', 'leases', 'delay', 0, 9],
      ['sleep', 'player', 'music', 'block', 1000, 10],
    ]);
  assert.deepEqual(await shutdownInhibitors(bus), ['dnf (installing)', 'backup']);
});

test('metered: as NetworkManager says or guesses; without it, no', async () => {
  const metered = (data: unknown) => meteredConnection(async () => JSON.stringify({ type: 'u', data }));
  assert.deepEqual(await Promise.all([0, 1, 2, 3, 4, 'x'].map(metered)), [false, true, false, true, false, false]);
  const absent: Bus = async () => {
    throw new AtomicError('not-found', 'The name is not activatable');
  };
  assert.equal(await meteredConnection(absent), false);
});

test('an answer that is none is an error, not nobody', async () => {
  for (const said of ['{}', '[]', 'null', '{"data":7}', '{"data":[7]}']) {
    await assert.rejects(
      loggedIn(async () => said),
      { code: 'failed' },
      said,
    );
  }
  await assert.rejects(
    loggedIn(async () => 'oops'),
    SyntaxError,
  );
});

test('no system bus, nobody on it', () => {
  assert.equal(systemBus('/nowhere'), null);
});
