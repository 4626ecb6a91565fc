import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EngineApi } from './api.ts';

test('a call that is given up rejects with the reason', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'atomic-engine-'));
  const socketPath = join(folder, 'socket');
  const server = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const stop = new AbortController();
  const call = new EngineApi('docker', { socketPath }).call('POST', '/x', { signal: stop.signal });
  const reason = new Error('interrupted');
  setTimeout(() => stop.abort(reason), 20);
  await assert.rejects(call, reason);
  server.close();
  rmSync(folder, { recursive: true });
});
