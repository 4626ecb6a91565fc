import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { thisMachine, whyUnwell } from './health.ts';
import type { Probe } from './record.ts';
import { FakeHost } from './test-machine.ts';

test('the machine itself is asked: http, tcp and commands', async () => {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/bad' ? 503 : 200;
    response.end('well');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const url = `http://127.0.0.1:${address.port}`;
  assert.equal(await thisMachine.http(`${url}/`, 1.234_567), null);
  assert.equal(await thisMachine.http(`${url}/bad`, 2), 'answered 503');
  assert.equal(await thisMachine.tcp('127.0.0.1', address.port, 1.5), null);
  server.close();
  server.closeAllConnections();
  assert.match((await thisMachine.http(`${url}/`, 2)) ?? '', /ECONNREFUSED/);
  assert.match((await thisMachine.tcp('127.0.0.1', address.port, 2)) ?? '', /ECONNREFUSED/);

  const host = new FakeHost();
  host.active.add('a.service');
  const check = (probes: Probe[], seconds: number) =>
    whyUnwell(['a.service'], { probes, seconds, interval: 0.05, settle: 0 }, host, thisMachine);
  assert.equal(await check([{ type: 'exec', command: ['true'] }], 5), null);
  const failing = await check([{ type: 'exec', command: ['sh', '-c', 'echo no disk >&2; exit 3'] }], 0.3);
  assert.equal(failing, "'sh -c echo no disk >&2; exit 3' ended with 3: no disk (not well within 0.3 s)");
});
