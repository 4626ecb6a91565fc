import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadIntoDaemon, saveFromDaemon } from './docker-daemon.ts';
import { Http } from './registry/http.ts';

const folder = mkdtempSync(join(tmpdir(), 'atomic-daemon-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function engine(name: string, answer: RequestListener): Promise<AsyncDisposable & { socketPath: string }> {
  const socketPath = join(folder, name);
  const listening = createServer(answer);
  await new Promise<void>((resolve) => listening.listen(socketPath, resolve));
  return {
    socketPath,
    [Symbol.asyncDispose]: async () => {
      listening.closeAllConnections();
      await new Promise((resolve) => listening.close(resolve));
    },
  };
}

test('silence ends a request after its limit, and never without one', async () => {
  await using slow = await engine('slow', (_request, response) => void setTimeout(() => response.end('done'), 200));
  const ask = async (silence: number): Promise<number> => {
    using http = new Http({ socketPath: slow.socketPath, silence });
    return (await http.send({ method: 'GET', url: new URL('http://engine/') })).status;
  };
  await assert.rejects(ask(50), /no answer for 0.05 seconds/);
  assert.equal(await ask(0), 200);
});

test('an engine that is not there, is not ours or breaks off is told apart', async () => {
  const archive = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('x');
  };
  const none = { socketPath: join(folder, 'none') };
  await assert.rejects(saveFromDaemon('x', none), { code: 'not-found', message: /no engine answers at/ });
  await assert.rejects(loadIntoDaemon(archive(), none), { code: 'not-found', message: /no engine answers at/ });
  await using broken = await engine('broken', (request) => request.socket.destroy());
  await assert.rejects(saveFromDaemon('x', broken), { code: 'network', message: /socket hang up/ });
  await using refusing = await engine('refusing', (_request, response) =>
    response.writeHead(404).end('{"message":"no such image"}'),
  );
  await assert.rejects(saveFromDaemon('x', refusing), { code: 'not-found', message: 'x: no such image' });
  if (process.getuid?.() === 0) return;
  chmodSync(refusing.socketPath, 0);
  await assert.rejects(saveFromDaemon('x', refusing), { code: 'permission' });
});
