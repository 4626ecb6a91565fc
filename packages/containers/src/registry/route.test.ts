import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RegistryError } from './registry-error.ts';
import { parseRoute } from './route.ts';

const digest = `sha256:${'0f'.repeat(32)}`;

test('every endpoint of the specification is known, with names of any depth', () => {
  const cases: [string, unknown][] = [
    ['/v2/', { kind: 'base' }],
    ['/v2', { kind: 'base' }],
    ['/token', { kind: 'token' }],
    ['/v2/_catalog', { kind: 'catalog' }],
    ['/v2/a/tags/list', { kind: 'tags', name: 'a' }],
    ['/v2/a/b-c__d/e.f/tags/list', { kind: 'tags', name: 'a/b-c__d/e.f' }],
    ['/v2/a/manifests/v1', { kind: 'manifest', name: 'a', reference: 'v1', digest: undefined }],
    [`/v2/a/manifests/${digest}`, { kind: 'manifest', name: 'a', reference: digest, digest }],
    [`/v2/a/blobs/${encodeURIComponent(digest)}`, { kind: 'blob', name: 'a', digest }],
    ['/v2/a/blobs/uploads/', { kind: 'uploads', name: 'a' }],
    ['/v2/a/blobs/uploads', { kind: 'uploads', name: 'a' }],
    ['/v2/a/blobs/uploads/x-1', { kind: 'upload', name: 'a', id: 'x-1' }],
    [`/v2/a/referrers/${digest}`, { kind: 'referrers', name: 'a', digest }],
    // Names may look like endpoints.
    ['/v2/blobs/uploads/tags/list', { kind: 'tags', name: 'blobs/uploads' }],
    [
      '/v2/manifests/manifests/manifests',
      { kind: 'manifest', name: 'manifests', reference: 'manifests', digest: undefined },
    ],
  ];
  for (const [path, route] of cases) assert.deepEqual(parseRoute(path), route, path);
  for (const path of ['/', '/v1/', '/v2/a', '/v2//tags/list', '/v2/a/tags', '/v2/a/manifests/', '/V2/'])
    assert.equal(parseRoute(path), undefined, path);
});

test('malformed names and digests are refused as the specification says', () => {
  const cases: [string, number, string][] = [
    ['/v2/A/tags/list', 400, 'NAME_INVALID'],
    ['/v2/a/../b/tags/list', 400, 'NAME_INVALID'],
    ['/v2/a%2F..%2Fb/tags/list', 400, 'NAME_INVALID'],
    ['/v2/_tag/x/tags/list', 400, 'NAME_INVALID'],
    ['/v2/a%/tags/list', 400, 'NAME_INVALID'],
    [`/v2/${'a'.repeat(256)}/tags/list`, 400, 'NAME_INVALID'],
    [`/v2/${'a'.repeat(3000)}/tags/list`, 414, 'NAME_INVALID'],
    ['/v2/a/blobs/sha256:0', 400, 'DIGEST_INVALID'],
    ['/v2/a/manifests/sha256:0', 400, 'DIGEST_INVALID'],
    ['/v2/a/manifests/-x', 400, 'MANIFEST_INVALID'],
    ['/v2/a/referrers/x', 400, 'DIGEST_INVALID'],
  ];
  for (const [path, status, code] of cases) {
    assert.throws(
      () => parseRoute(path),
      (error) => error instanceof RegistryError && error.status === status && error.code === code,
      path,
    );
  }
});
