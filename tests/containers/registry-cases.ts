/**
 * What the OCI distribution specification (v1.1) asks of a registry, as requests and answers: any registry can be held
 * against it. Written from the specification's text.
 */
import assert from 'node:assert/strict';
import { MEDIA } from '@atomic/oci';
import {
  describe,
  makeBlob,
  makeConfig,
  makeManifest,
  type RegistryClient,
  sha256,
  sha512,
} from './registry-client.ts';

/** What the specification leaves to a registry, or what came with v1.1. */
export type Capability =
  | 'catalog'
  | 'chunk order'
  | 'junk refused'
  | 'manifest size limit'
  | 'range past the end'
  | 'referrers'
  | 'sha512'
  | 'single POST'
  | 'subject'
  | 'tag deletion'
  | 'tag order'
  | 'tag pages'
  | 'tags with a digest'
  | 'type mismatch';

export interface Case {
  title: string;
  /** Left to the registry: without it `otherwise` has to hold. */
  needs?: Capability;
  run(client: RegistryClient): Promise<void>;
  otherwise?(client: RegistryClient): Promise<void>;
}

const absent = sha256(Buffer.from('what nobody ever pushed'));
const INDEX = { accept: `${MEDIA.index}, ${MEDIA.manifest}` };

function errorCode(body: Buffer): string {
  const value: unknown = JSON.parse(body.toString('utf8'));
  assert.ok(typeof value === 'object' && value !== null && 'errors' in value && Array.isArray(value.errors));
  const [first]: unknown[] = value.errors;
  assert.ok(typeof first === 'object' && first !== null && 'code' in first && typeof first.code === 'string');
  assert.match(first.code, /^[A-Z_]+$/);
  return first.code;
}

function field(body: Buffer, name: string): unknown {
  const value: unknown = JSON.parse(body.toString('utf8'));
  assert.ok(typeof value === 'object' && value !== null);
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

const tagsOf = async (client: RegistryClient, query = ''): Promise<unknown> =>
  field((await client.ask(`tags/list${query}`)).body, 'tags');

async function listed(client: RegistryClient, query = ''): Promise<unknown[]> {
  const tags = await tagsOf(client, query);
  assert.ok(Array.isArray(tags));
  return tags;
}

async function referrersOf(client: RegistryClient, digest: string, query = ''): Promise<Record<string, unknown>[]> {
  const { status, body, headers } = await client.ask(`referrers/${digest}${query}`);
  assert.equal(status, 200);
  assert.equal(headers.get('content-type'), MEDIA.index);
  assert.equal(field(body, 'schemaVersion'), 2);
  const manifests = field(body, 'manifests');
  assert.ok(Array.isArray(manifests));
  return manifests.map((one: unknown) => {
    assert.ok(typeof one === 'object' && one !== null);
    return Object.fromEntries(Object.entries(one));
  });
}

const pull: Case[] = [
  {
    title: 'the base says that it is a registry',
    run: async (client) => {
      assert.equal((await client.ask('/v2/')).status, 200);
    },
  },
  {
    title: 'a blob comes back byte for byte, with its digest and size',
    run: async (client) => {
      const { bytes, digest } = await client.pushBlob(makeBlob(100_000));
      const got = await client.ask(`blobs/${digest}`);
      assert.equal(got.status, 200);
      assert.deepEqual(got.body, bytes);
      assert.equal(got.headers.get('docker-content-digest'), digest);
      const head = await client.ask(`blobs/${digest}`, { method: 'HEAD' });
      assert.deepEqual([head.status, head.headers.get('content-length'), head.body.length], [200, '100000', 0]);
      assert.equal(head.headers.get('docker-content-digest'), digest);
    },
  },
  {
    title: 'a blob comes in ranges',
    run: async (client) => {
      const { bytes, digest } = await client.pushBlob(makeBlob(1000));
      const range = async (value: string) => await client.ask(`blobs/${digest}`, { headers: { range: value } });
      for (const [value, start, end] of [
        ['bytes=0-9', 0, 10],
        ['bytes=990-', 990, 1000],
        ['bytes=-7', 993, 1000],
        ['bytes=5-5000', 5, 1000],
      ] as const) {
        const got = await range(value);
        assert.equal(got.status, 206, value);
        assert.deepEqual(got.body, bytes.subarray(start, end));
        assert.equal(got.headers.get('content-range'), `bytes ${start}-${end - 1}/1000`);
      }
    },
  },
  {
    title: 'a range past the end of a blob is 416',
    needs: 'range past the end',
    run: async (client) => {
      const { digest } = await client.pushBlob(makeBlob(1000));
      const got = await client.ask(`blobs/${digest}`, { headers: { range: 'bytes=1000-' } });
      assert.deepEqual([got.status, got.headers.get('content-range')], [416, 'bytes */1000']);
      const none = await client.ask(`blobs/${digest}`, { headers: { range: 'bytes=abc' } });
      assert.deepEqual([none.status, none.body.length], [200, 1000]);
    },
    otherwise: async (client) => {
      // It announces the whole blob with its 416, and hangs up after less.
      const { digest } = await client.pushBlob(makeBlob(1000));
      await assert.rejects(client.ask(`blobs/${digest}`, { headers: { range: 'bytes=1000-' } }));
    },
  },
  {
    title: 'what is not there is 404, for GET and HEAD',
    run: async (client) => {
      await client.pushImage('there');
      for (const path of [`blobs/${absent}`, `manifests/${absent}`, 'manifests/nothing']) {
        for (const method of ['GET', 'HEAD']) assert.equal((await client.ask(path, { method })).status, 404, path);
      }
      assert.equal(errorCode((await client.ask(`blobs/${absent}`)).body), 'BLOB_UNKNOWN');
      assert.equal(errorCode((await client.ask(`manifests/${absent}`)).body), 'MANIFEST_UNKNOWN');
    },
  },
  {
    title: 'a repository that is not there is 404',
    run: async (client) => {
      const nobody = client.other(`${client.name}/nobody`);
      assert.equal((await nobody.ask('manifests/latest')).status, 404);
      assert.equal((await nobody.ask('tags/list')).status, 404);
      assert.equal(errorCode((await nobody.ask('tags/list')).body), 'NAME_UNKNOWN');
    },
  },
  {
    title: 'a manifest comes back byte for byte, by its tag and by its digest, with the type it was pushed with',
    run: async (client) => {
      const image = await client.pushImage('v1');
      for (const reference of ['v1', image.digest]) {
        const got = await client.ask(`manifests/${reference}`, { headers: INDEX });
        assert.equal(got.status, 200);
        assert.deepEqual(got.body, image.bytes);
        assert.equal(got.headers.get('content-type'), MEDIA.manifest);
        assert.equal(got.headers.get('docker-content-digest'), image.digest);
        const head = await client.ask(`manifests/${reference}`, { method: 'HEAD', headers: INDEX });
        assert.equal(head.headers.get('content-length'), String(image.bytes.length));
        assert.equal(head.headers.get('docker-content-digest'), image.digest);
      }
    },
  },
  {
    title: 'names and digests that are none are refused, and nothing of them leads anywhere',
    run: async (client) => {
      for (const path of [
        '/v2/UPPER/tags/list',
        '/v2/a/%2e%2e/%2e%2e/etc/manifests/passwd',
        '/v2/a%2fB/manifests/x',
        '/v2/-a/manifests/x',
        '/v2/_x/manifests/x',
        `/v2/${'a/'.repeat(100)}B/manifests/x`,
      ]) {
        const { status } = await client.ask(path);
        assert.ok(status === 400 || status === 404, `${path}: ${status}`);
      }
      for (const digest of ['sha256:12', 'sha256:../../x', 'nonsense:00', `sha256:${'Z'.repeat(64)}`]) {
        const { status } = await client.ask(`blobs/${digest}`);
        assert.ok(status === 400 || status === 404, `${digest}: ${status}`);
      }
    },
  },
];

const push: Case[] = [
  {
    title: 'a blob is pushed by POST and PUT',
    run: async (client) => {
      const { bytes, digest } = makeBlob(5000);
      const { status, headers } = await client.put(await client.begin(), digest, bytes);
      assert.equal(status, 201);
      assert.deepEqual((await client.ask(headers.get('location') ?? '')).body, bytes);
    },
  },
  {
    title: 'a blob is pushed by a single POST',
    needs: 'single POST',
    run: async (client) => {
      const { bytes, digest } = makeBlob(5000);
      const headers = { 'content-type': 'application/octet-stream' };
      const path = `blobs/uploads/?digest=${digest}`;
      const wrong = await client.ask(path, { method: 'POST', headers, body: makeBlob(9).bytes });
      assert.equal(wrong.status, 400);
      const got = await client.ask(path, { method: 'POST', headers, body: bytes });
      assert.equal(got.status, 201);
      assert.deepEqual((await client.ask(got.headers.get('location') ?? '')).body, bytes);
    },
    otherwise: async (client) => {
      const { bytes, digest } = makeBlob(10);
      const got = await client.ask(`blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes });
      assert.equal(got.status, 202);
      assert.equal((await client.put(got.headers.get('location') ?? '', digest, bytes)).status, 201);
    },
  },
  {
    title: 'a blob of no bytes is a blob',
    run: async (client) => {
      const empty = Buffer.alloc(0);
      assert.equal((await client.put(await client.begin(), sha256(empty))).status, 201);
      const got = await client.ask(`blobs/${sha256(empty)}`);
      assert.deepEqual([got.status, got.body.length], [200, 0]);
    },
  },
  {
    title: 'a digest that lies is refused, and leaves no blob',
    run: async (client) => {
      const [{ bytes }, other] = [makeBlob(), makeBlob()];
      const got = await client.put(await client.begin(), other.digest, bytes);
      assert.equal(got.status, 400);
      assert.equal(errorCode(got.body), 'DIGEST_INVALID');
      for (const digest of [other.digest, sha256(bytes)])
        assert.equal((await client.ask(`blobs/${digest}`, { method: 'HEAD' })).status, 404);
      assert.equal((await client.put(await client.begin(), 'nonsense', bytes)).status, 400);
    },
  },
  {
    title: 'a blob is pushed in chunks, the last of them with PUT or before it',
    run: async (client) => {
      for (const lastWithPut of [true, false]) {
        const { bytes, digest } = makeBlob(10_000);
        let location = await client.begin();
        const sent = lastWithPut ? [0, 4000, 8000] : [0, 4000, 8000, 10_000];
        for (const [i, end] of sent.entries()) {
          const start = sent[i - 1];
          if (start === undefined) continue;
          const got = await client.patch(location, bytes.subarray(start, end), `${start}-${end - 1}`);
          assert.equal(got.status, 202);
          assert.equal(got.headers.get('range'), `0-${end - 1}`);
          location = got.headers.get('location') ?? '';
        }
        const rest = bytes.subarray(sent.at(-1));
        const range = rest.length > 0 ? '8000-9999' : undefined;
        assert.equal((await client.put(location, digest, rest, range)).status, 201);
        assert.deepEqual((await client.ask(`blobs/${digest}`)).body, bytes);
      }
    },
  },
  {
    title: 'chunks without Content-Range are added at the end, as docker sends them',
    run: async (client) => {
      const { bytes, digest } = makeBlob(3000);
      const first = await client.patch(await client.begin(), bytes.subarray(0, 1000));
      const second = await client.patch(first.headers.get('location') ?? '', bytes.subarray(1000));
      assert.equal((await client.put(second.headers.get('location') ?? '', digest)).status, 201);
    },
  },
  {
    title: 'a chunk out of order is 416, and the upload goes on from where it was',
    needs: 'chunk order',
    run: async (client) => {
      const { bytes, digest } = makeBlob(3000);
      const begun = await client.begin();
      assert.equal((await client.patch(begun, bytes.subarray(1000, 2000), '1000-1999')).status, 416);
      const first = await client.patch(begun, bytes.subarray(0, 1000), '0-999');
      const location = first.headers.get('location') ?? '';
      for (const range of ['0-999', '2000-2999', '999-1998'])
        assert.equal((await client.patch(location, bytes.subarray(0, 1000), range)).status, 416, range);
      assert.equal((await client.put(location, digest, bytes.subarray(0, 1000), '0-999')).status, 416);
      const status = await client.ask(location);
      assert.deepEqual([status.status, status.headers.get('range')], [204, '0-999']);
      assert.equal(
        (await client.put(status.headers.get('location') ?? '', digest, bytes.subarray(1000), '1000-2999')).status,
        201,
      );
    },
    otherwise: async (client) => {
      // It takes them, and finds out by the digest.
      const { bytes, digest } = makeBlob(3000);
      const got = await client.patch(await client.begin(), bytes.subarray(1000), '1000-2999');
      const ended = got.status === 416 ? got : await client.put(got.headers.get('location') ?? '', digest);
      assert.ok(ended.status === 400 || ended.status === 416, String(ended.status));
    },
  },
  {
    title: 'an upload tells how far it is, and can be given up',
    run: async (client) => {
      const { bytes, digest } = makeBlob(1000);
      const first = await client.patch(await client.begin(), bytes, '0-999');
      const location = first.headers.get('location') ?? '';
      const status = await client.ask(location);
      assert.deepEqual([status.status, status.headers.get('range')], [204, '0-999']);
      assert.equal((await client.ask(location, { method: 'DELETE' })).status, 204);
      assert.equal((await client.ask(location)).status, 404);
      assert.equal((await client.put(location, digest)).status, 404);
    },
  },
  {
    title: 'an upload that nobody began is 404',
    run: async (client) => {
      await client.pushBlob();
      const location = `/v2/${client.name}/blobs/uploads/00000000-0000-4000-8000-000000000000`;
      const { status } = await client.patch(location, Buffer.from('x'));
      assert.equal(status, 404);
    },
  },
  {
    title: 'an upload belongs to its repository',
    run: async (client) => {
      const location = new URL(await client.begin(), client.base);
      const stolen = location.pathname.replace(`/v2/${client.name}/`, `/v2/${client.name}/thief/`);
      const { status } = await client.patch(stolen + location.search, Buffer.from('x'));
      assert.ok(status === 404 || status === 400, String(status));
    },
  },
  {
    title: 'a blob is mounted from another repository, or its upload begins',
    run: async (client) => {
      const other = client.other(`${client.name}/other`);
      const { bytes, digest } = await other.pushBlob();
      const path = `blobs/uploads/?mount=${digest}&from=${encodeURIComponent(other.name)}`;
      const got = await client.ask(path, { method: 'POST' });
      assert.equal(got.status, 201);
      assert.deepEqual((await client.ask(got.headers.get('location') ?? '')).body, bytes);
      const unknown = await client.ask(path.replace(digest, absent), { method: 'POST' });
      assert.equal(unknown.status, 202);
      const blob = makeBlob();
      assert.equal((await client.put(unknown.headers.get('location') ?? '', blob.digest, blob.bytes)).status, 201);
      const nowhere = await client.ask(`blobs/uploads/?mount=${makeBlob().digest}`, { method: 'POST' });
      assert.equal(nowhere.status, 202);
    },
  },
  {
    title: 'blobs of one repository are not those of another',
    run: async (client) => {
      const { digest } = await client.pushBlob();
      assert.equal((await client.other(`${client.name}/other`).ask(`blobs/${digest}`)).status, 404);
    },
  },
  {
    title: 'a manifest is pushed by tag and by digest; tags move',
    run: async (client) => {
      const first = await client.pushImage();
      const byTag = await client.pushManifest(first, 'moving');
      assert.equal(byTag.status, 201);
      assert.equal(byTag.headers.get('docker-content-digest'), first.digest);
      const where = await client.ask(byTag.headers.get('location') ?? '', { headers: INDEX });
      assert.deepEqual(where.body, first.bytes);
      const second = await client.pushImage('moving');
      const now = await client.ask('manifests/moving', { headers: INDEX });
      assert.equal(now.headers.get('docker-content-digest'), second.digest);
      assert.equal((await client.ask(`manifests/${first.digest}`, { headers: INDEX })).status, 200);
    },
  },
  {
    title: 'a manifest whose digest is another is refused',
    run: async (client) => {
      const image = await client.pushImage();
      const got = await client.pushManifest(image, absent);
      assert.equal(got.status, 400);
      assert.equal(errorCode(got.body), 'DIGEST_INVALID');
    },
  },
  {
    title: 'a manifest without what it needs is refused',
    run: async (client) => {
      const config = await client.pushBlob(makeConfig());
      const manifest = makeManifest({
        config: describe(config, MEDIA.config),
        layers: [{ mediaType: MEDIA.layer, digest: absent, size: 3 }],
      });
      const got = await client.pushManifest(manifest, 'hollow');
      assert.ok(got.status === 404 || got.status === 400, String(got.status));
      assert.equal(errorCode(got.body), 'MANIFEST_BLOB_UNKNOWN');
      assert.equal((await client.ask('manifests/hollow')).status, 404);
    },
  },
  {
    title: 'what is no manifest is refused',
    needs: 'junk refused',
    run: async (client) => {
      await client.pushBlob();
      for (const text of ['blablabla', '{}', '[]', '{"schemaVersion":2}', '{"schemaVersion":"two","config":5}']) {
        const bytes = Buffer.from(text);
        const got = await client.pushManifest({ bytes, digest: sha256(bytes), mediaType: MEDIA.manifest }, 'junk');
        assert.equal(got.status, 400, text);
        assert.equal(errorCode(got.body), 'MANIFEST_INVALID', text);
      }
    },
    otherwise: async (client) => {
      // Not JSON is told, and JSON that is no manifest is an error of its own.
      const of = async (text: string) => {
        const bytes = Buffer.from(text);
        return (await client.pushManifest({ bytes, digest: sha256(bytes), mediaType: MEDIA.manifest }, 'junk')).status;
      };
      assert.deepEqual([await of('blablabla'), await of('{}')], [400, 500]);
    },
  },
  {
    title: 'a manifest that says another type of itself than its sender is refused',
    needs: 'type mismatch',
    run: async (client) => {
      const image = await client.pushImage();
      const got = await client.pushManifest({ ...image, mediaType: MEDIA.index }, 'liar');
      assert.equal(got.status, 400);
    },
    otherwise: async (client) => {
      const image = await client.pushImage();
      const got = await client.pushManifest({ ...image, mediaType: MEDIA.index }, 'liar');
      assert.notEqual(got.status, 400);
    },
  },
  {
    title: 'an image without layers is an image',
    run: async (client) => {
      const config = await client.pushBlob(makeConfig());
      const manifest = makeManifest({ config: describe(config, MEDIA.config), layers: [] });
      assert.equal((await client.pushManifest(manifest, 'empty')).status, 201);
    },
  },
  {
    title: 'an index of images is pushed and pulled',
    run: async (client) => {
      const images = [await client.pushImage(), await client.pushImage()];
      const index = makeManifest({
        mediaType: MEDIA.index,
        manifests: images.map((image, i) => ({
          ...describe(image, MEDIA.manifest),
          platform: { os: 'linux', architecture: ['amd64', 'arm64'][i] },
        })),
      });
      assert.equal((await client.pushManifest(index, 'many')).status, 201);
      const got = await client.ask('manifests/many', { headers: INDEX });
      assert.deepEqual(got.body, index.bytes);
      assert.equal(got.headers.get('content-type'), MEDIA.index);
    },
  },
  {
    title: 'a manifest of 4 MiB less a little is taken, one beyond the limit is 413',
    needs: 'manifest size limit',
    run: async (client) => {
      const fill = (size: number) => ({ annotations: { fill: 'x'.repeat(size) } });
      const config = describe(await client.pushBlob(makeConfig()), MEDIA.config);
      const fits = makeManifest({ config, layers: [], ...fill((4 << 20) - 2000) });
      assert.equal((await client.pushManifest(fits, 'large')).status, 201);
      const got = await client.pushManifest(makeManifest({ config, layers: [], ...fill(5 << 20) }), 'larger');
      assert.equal(got.status, 413);
    },
    otherwise: async (client) => {
      const config = describe(await client.pushBlob(makeConfig()), MEDIA.config);
      const annotations = { fill: 'x'.repeat(5 << 20) };
      const got = await client.pushManifest(makeManifest({ config, layers: [], annotations }), 'larger');
      assert.equal(got.status, 400);
    },
  },
  {
    title: 'a manifest pushed by its digest gets the tags that are asked for',
    needs: 'tags with a digest',
    run: async (client) => {
      const image = await client.pushImage();
      const tags = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];
      const got = await client.pushManifest(image, `${image.digest}?${tags.map((tag) => `tag=${tag}`).join('&')}`);
      assert.equal(got.status, 201);
      assert.deepEqual((got.headers.get('oci-tag') ?? '').split(/,\s*/), tags);
      assert.deepEqual(await tagsOf(client), tags);
    },
    otherwise: async (client) => {
      const image = await client.pushImage();
      const got = await client.pushManifest(image, `${image.digest}?tag=a`);
      assert.deepEqual([got.status, got.headers.get('oci-tag')], [201, null]);
    },
  },
  {
    title: 'blobs and manifests of sha512',
    needs: 'sha512',
    run: async (client) => {
      const { bytes } = makeBlob(5000);
      const begun = await client.ask('blobs/uploads/?digest-algorithm=sha512', { method: 'POST' });
      assert.equal((await client.put(begun.headers.get('location') ?? '', sha512(bytes), bytes)).status, 201);
      assert.deepEqual((await client.ask(`blobs/${sha512(bytes)}`)).body, bytes);
      const config = describe(await client.pushBlob(makeConfig()), MEDIA.config);
      const layer = { mediaType: MEDIA.layer, digest: sha512(bytes), size: bytes.length };
      const manifest = makeManifest({ config, layers: [layer] });
      assert.equal((await client.pushManifest(manifest, sha512(manifest.bytes))).status, 201);
      const got = await client.ask(`manifests/${sha512(manifest.bytes)}`, { headers: INDEX });
      assert.deepEqual([got.body, got.headers.get('docker-content-digest')], [manifest.bytes, sha512(manifest.bytes)]);
    },
    otherwise: async (client) => {
      const config = describe(await client.pushBlob(makeConfig()), MEDIA.config);
      const manifest = makeManifest({ config, layers: [] });
      assert.equal((await client.pushManifest(manifest, sha512(manifest.bytes))).status, 400);
    },
  },
];

const discovery: Case[] = [
  {
    title: 'tags are listed in order',
    needs: 'tag order',
    run: async (client) => {
      const image = await client.pushImage();
      for (const tag of ['b', 'a10', 'A', 'a2', '_x', 'z.1-2']) await client.pushManifest(image, tag);
      const { status, body } = await client.ask('tags/list');
      assert.equal(status, 200);
      assert.equal(field(body, 'name'), client.name);
      assert.deepEqual(field(body, 'tags'), ['A', '_x', 'a10', 'a2', 'b', 'z.1-2']);
    },
    otherwise: async (client) => {
      const image = await client.pushImage();
      for (const tag of ['b', 'a10', 'A']) await client.pushManifest(image, tag);
      assert.deepEqual(new Set(await listed(client)), new Set(['A', 'a10', 'b']));
    },
  },
  {
    title: 'tags are listed page by page',
    needs: 'tag pages',
    run: async (client) => {
      const image = await client.pushImage();
      for (const tag of ['a', 'b', 'c', 'd', 'e']) await client.pushManifest(image, tag);
      assert.deepEqual(await tagsOf(client, '?n=2'), ['a', 'b']);
      assert.deepEqual(await tagsOf(client, '?n=2&last=b'), ['c', 'd']);
      assert.deepEqual(await tagsOf(client, '?n=2&last=bb'), ['c', 'd']);
      assert.deepEqual(await tagsOf(client, '?last=c'), ['d', 'e']);
      assert.deepEqual(await tagsOf(client, '?n=100'), ['a', 'b', 'c', 'd', 'e']);
      const none = await client.ask('tags/list?n=0');
      assert.deepEqual([field(none.body, 'tags'), none.headers.get('link')], [[], null]);
      let path: string | undefined = 'tags/list?n=2';
      const seen: unknown[] = [];
      for (let pages = 0; path !== undefined && pages < 10; pages++) {
        const { body, headers } = await client.ask(path);
        seen.push(field(body, 'tags'));
        path = /^<([^>]+)>; *rel="?next"?$/.exec(headers.get('link') ?? '')?.[1];
      }
      assert.deepEqual(seen, [['a', 'b'], ['c', 'd'], ['e']]);
      assert.equal((await client.ask('tags/list?n=x')).status, 400);
    },
    otherwise: async (client) => {
      const image = await client.pushImage();
      for (const tag of ['a', 'b', 'c']) await client.pushManifest(image, tag);
      assert.deepEqual(new Set(await listed(client, '?n=2')), new Set(['a', 'b', 'c']));
    },
  },
  {
    title: 'repositories are listed page by page',
    needs: 'catalog',
    run: async (client) => {
      for (const name of ['one', 'one/below', 'two']) await client.other(`${client.name}/${name}`).pushImage('x');
      const names = [];
      let path: string | undefined = '/v2/_catalog?n=2';
      for (let pages = 0; path !== undefined && pages < 1000; pages++) {
        const { body, headers } = await client.ask(path);
        const found = field(body, 'repositories');
        assert.ok(Array.isArray(found) && found.length <= 2);
        names.push(...found);
        path = /^<([^>]+)>; *rel="?next"?$/.exec(headers.get('link') ?? '')?.[1];
      }
      const ours = names.filter((name) => String(name).startsWith(`${client.name}/`));
      assert.deepEqual(
        ours,
        ['one', 'one/below', 'two'].map((name) => `${client.name}/${name}`),
      );
    },
  },
  {
    title: 'what is about a manifest is listed with it, whichever came first',
    needs: 'referrers',
    run: async (client) => {
      const image = await client.pushImage('subject');
      const subject = describe(image, MEDIA.manifest);
      const annotations = { 'org.example.what': 'test' };
      const signature = await client.pushImage(undefined, {
        subject,
        artifactType: 'application/x.signature',
        annotations,
      });
      const plain = await client.pushImage('plain', { subject });
      const index = makeManifest({
        mediaType: MEDIA.index,
        manifests: [],
        subject,
        artifactType: 'application/x.index',
      });
      assert.equal((await client.pushManifest(index)).status, 201);
      const sortKey = (one: Record<string, unknown>) => String(one['digest']);
      const found = (await referrersOf(client, image.digest)).sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
      const wanted = [
        { ...describe(signature, MEDIA.manifest), artifactType: 'application/x.signature', annotations },
        { ...describe(plain, MEDIA.manifest), artifactType: MEDIA.config },
        { ...describe(index, MEDIA.index), artifactType: 'application/x.index' },
      ].sort((a, b) => (a.digest < b.digest ? -1 : 1));
      assert.deepEqual(found, wanted);
      const filtered = await client.ask(`referrers/${image.digest}?artifactType=application%2Fx.signature`);
      assert.equal(filtered.headers.get('oci-filters-applied'), 'artifactType');
      const digests = await referrersOf(client, image.digest, '?artifactType=application/x.signature');
      assert.deepEqual(
        digests.map(({ digest }) => digest),
        [signature.digest],
      );
      assert.deepEqual(await referrersOf(client, image.digest, '?artifactType=application/x.nobody'), []);
    },
    otherwise: async (client) => {
      const image = await client.pushImage('subject');
      assert.equal((await client.ask(`referrers/${image.digest}`)).status, 404);
    },
  },
  {
    title: 'nothing is about what nobody knows, and that is no error',
    needs: 'referrers',
    run: async (client) => {
      await client.pushImage('x');
      assert.deepEqual(await referrersOf(client, absent), []);
      assert.equal((await client.ask('referrers/nonsense')).status, 400);
    },
    otherwise: async (client) => {
      await client.pushImage('x');
      assert.equal((await client.ask(`referrers/${absent}`)).status, 404);
    },
  },
  {
    title: 'a manifest about another says so when it is pushed, the other there or not',
    needs: 'subject',
    run: async (client) => {
      const config = describe(await client.pushBlob(makeConfig()), MEDIA.config);
      const subject = { mediaType: MEDIA.manifest, digest: absent, size: 7 };
      const manifest = makeManifest({ config, layers: [], subject });
      const got = await client.pushManifest(manifest);
      assert.deepEqual([got.status, got.headers.get('oci-subject')], [201, absent]);
      assert.deepEqual(
        (await referrersOf(client, absent)).map(({ digest }) => digest),
        [manifest.digest],
      );
    },
    otherwise: async (client) => {
      const config = describe(await client.pushBlob(makeConfig()), MEDIA.config);
      const manifest = makeManifest({
        config,
        layers: [],
        subject: { mediaType: MEDIA.manifest, digest: absent, size: 7 },
      });
      const got = await client.pushManifest(manifest);
      assert.deepEqual([got.status, got.headers.get('oci-subject')], [201, null]);
    },
  },
];

const management: Case[] = [
  {
    title: 'a tag is deleted, and the image stays',
    needs: 'tag deletion',
    run: async (client) => {
      const image = await client.pushImage('gone');
      await client.pushManifest(image, 'stays');
      assert.equal((await client.ask('manifests/gone', { method: 'DELETE' })).status, 202);
      assert.equal((await client.ask('manifests/gone')).status, 404);
      assert.deepEqual(await tagsOf(client), ['stays']);
      assert.equal((await client.ask(`manifests/${image.digest}`, { headers: INDEX })).status, 200);
      assert.equal((await client.ask('manifests/gone', { method: 'DELETE' })).status, 404);
    },
    otherwise: async (client) => {
      await client.pushImage('kept');
      const { status } = await client.ask('manifests/kept', { method: 'DELETE' });
      assert.ok(status === 400 || status === 405, String(status));
      assert.equal((await client.ask('manifests/kept', { headers: INDEX })).status, 200);
    },
  },
  {
    title: 'an image is deleted with the tags that name it',
    run: async (client) => {
      const image = await client.pushImage('one');
      await client.pushManifest(image, 'two');
      const other = await client.pushImage('other');
      assert.equal((await client.ask(`manifests/${image.digest}`, { method: 'DELETE' })).status, 202);
      for (const reference of [image.digest, 'one', 'two'])
        assert.equal((await client.ask(`manifests/${reference}`, { headers: INDEX })).status, 404, reference);
      assert.equal((await client.ask(`manifests/${image.digest}`, { method: 'DELETE' })).status, 404);
      assert.equal((await client.ask(`manifests/${other.digest}`, { headers: INDEX })).status, 200);
    },
  },
  {
    title: 'what is deleted is about nothing any more',
    needs: 'referrers',
    run: async (client) => {
      const image = await client.pushImage('subject');
      const about = await client.pushImage(undefined, { subject: describe(image, MEDIA.manifest) });
      assert.equal((await referrersOf(client, image.digest)).length, 1);
      assert.equal((await client.ask(`manifests/${about.digest}`, { method: 'DELETE' })).status, 202);
      assert.deepEqual(await referrersOf(client, image.digest), []);
    },
    otherwise: async (client) => {
      // Clients keep a list under a tag of their own there, and have to look after it.
      const image = await client.pushImage('subject');
      const tag = image.digest.replace(':', '-');
      const index = makeManifest({ mediaType: MEDIA.index, manifests: [describe(image, MEDIA.manifest)] });
      assert.equal((await client.pushManifest(index, tag)).status, 201);
      assert.equal((await client.ask(`manifests/${tag}`, { headers: INDEX })).status, 200);
    },
  },
  {
    title: 'a blob is deleted, once',
    run: async (client) => {
      const { digest } = await client.pushBlob();
      assert.equal((await client.ask(`blobs/${digest}`, { method: 'DELETE' })).status, 202);
      assert.equal((await client.ask(`blobs/${digest}`)).status, 404);
      assert.equal((await client.ask(`blobs/${digest}`, { method: 'DELETE' })).status, 404);
    },
  },
  {
    title: 'what was deleted can be pushed again',
    run: async (client) => {
      const image = await client.pushImage('again');
      await client.ask(`manifests/${image.digest}`, { method: 'DELETE' });
      await client.ask(`blobs/${image.layer.digest}`, { method: 'DELETE' });
      assert.equal((await client.pushManifest(image, 'again')).status === 201, false);
      await client.pushBlob(image.layer);
      assert.equal((await client.pushManifest(image, 'again')).status, 201);
      assert.deepEqual((await client.ask(`blobs/${image.layer.digest}`)).body, image.layer.bytes);
    },
  },
];

export const CASES: Record<string, Case[]> = { pull, push, discovery, management };
