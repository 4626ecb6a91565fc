import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { lacks, startRegistry } from './lab.ts';
import { CASES, type Capability } from './registry-cases.ts';
import { RegistryClient } from './registry-client.ts';
import { startOurs } from './registry-lab.ts';

/** What each registry has of what the specification leaves open. */
const OURS: readonly Capability[] = [
  'catalog',
  'chunk order',
  'junk refused',
  'manifest size limit',
  'range past the end',
  'referrers',
  'sha512',
  'single POST',
  'subject',
  'tag deletion',
  'tag order',
  'tag pages',
  'tags with a digest',
  'type mismatch',
];
/** Debian 12's, 2.8.2: it is from before v1.1 of the specification. */
const DEBIANS: readonly Capability[] = ['catalog', 'type mismatch'];

function suite(
  title: string,
  has: readonly Capability[],
  start: () => Promise<AsyncDisposable & { url: string }>,
): void {
  describe(title, () => {
    let server: (AsyncDisposable & { url: string }) | undefined;
    let serial = 0;
    before(async () => {
      server = await start();
    });
    after(async () => {
      await server?.[Symbol.asyncDispose]();
    });
    for (const [area, cases] of Object.entries(CASES)) {
      for (const { title: what, needs, run, otherwise } of cases) {
        const lacking = needs !== undefined && !has.includes(needs);
        const name = `${area}: ${what}${lacking ? ` (not in this registry: ${needs})` : ''}`;
        const body = lacking ? otherwise : run;
        test(name, { skip: body === undefined ? `has no ${needs}` : false }, async () => {
          assert.ok(server !== undefined && body !== undefined);
          await body(new RegistryClient(server.url, `conformance/${area}-${serial++}`));
        });
      }
    }
  });
}

suite('our registry', OURS, () => startOurs());

describe("Debian's docker-registry", { skip: lacks('docker-registry') ?? false }, () => {
  suite('docker-registry', DEBIANS, async () => {
    const registry = await startRegistry();
    return { url: `http://${registry.host}`, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() };
  });
});
