/** policy.json, registries.d and signatures: what we decide is what skopeo decides, on a table of both. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { lacks } from './lab.ts';
import { SIGNATURES, TrustLab } from './trust-lab.ts';

const skip = lacks('skopeo', 'docker-registry', 'gpg', 'gpgv') ?? false;

suite('the same decisions as skopeo', { skip, concurrency: 2 }, () => {
  let lab: TrustLab;
  let everybody: string;
  before(async () => {
    lab = await TrustLab.start();
    for (const [tag, { make }] of Object.entries(SIGNATURES)) {
      await lab.image(tag);
      lab.attach(tag, ...make(lab, tag));
    }
    const { gpg, keys } = lab;
    gpg.revoke(keys.gone);
    const rest = [keys.alice, keys.bob, keys.old, keys.gone, keys.dave, 'past@example.org'];
    const keyPath = lab.file('everybody.gpg', gpg.export(...rest));
    lab.file('alice.gpg', gpg.export(keys.alice));
    lab.file('bob.asc', gpg.run(['--armor', '--export', keys.bob]));
    everybody = lab.policy({
      default: [{ type: 'reject' }],
      transports: { docker: { [lab.host]: [{ type: 'signedBy', keyType: 'GPGKeys', keyPath }] } },
    });
  });
  after(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  const same = async (policy: string, tag: string, by: 'tag' | 'digest' = 'tag') => {
    const [ours, theirs] = await Promise.all([lab.ours(policy, tag, by), lab.skopeo(policy, tag, by)]);
    assert.equal(ours.accepted, theirs.accepted, `ours: ${ours.why}; skopeo: ${theirs.said}`);
    return ours;
  };

  for (const [tag, { good, why, newer }] of Object.entries(SIGNATURES)) {
    test(`signature: ${tag}`, async (t) => {
      if (newer !== undefined) t.diagnostic(`not compared: older versions of skopeo refuse ${newer}`);
      const ours = newer === undefined ? await same(everybody, tag) : await lab.ours(everybody, tag);
      assert.equal(ours.accepted, good, ours.why);
      if (why !== undefined) assert.match(ours.why, why);
    });
  }

  /** Rules by name, as they stand under the registry. */
  const rules = (): Record<string, unknown[]> => {
    const alice = { type: 'signedBy', keyType: 'GPGKeys', keyPath: `${lab.folder}/alice.gpg` };
    const identity = (signedIdentity: unknown) => [{ ...alice, signedIdentity }];
    const other = lab.reference('other-repository', 'other/app');
    return {
      matchExact: identity({ type: 'matchExact' }),
      matchRepoDigestOrExact: identity({ type: 'matchRepoDigestOrExact' }),
      matchRepository: identity({ type: 'matchRepository' }),
      exactReference: identity({ type: 'exactReference', dockerReference: other }),
      exactRepository: identity({ type: 'exactRepository', dockerRepository: `${lab.host}/other/app` }),
      remapIdentity: identity({ type: 'remapIdentity', prefix: `${lab.host}/ns`, signedPrefix: `${lab.host}/other` }),
      'remapIdentity elsewhere': identity({ type: 'remapIdentity', prefix: `${lab.host}/n`, signedPrefix: 'other' }),
      'another key': [{ ...alice, keyPath: `${lab.folder}/bob.asc` }],
      'key file not there': [{ ...alice, keyPath: `${lab.folder}/nobody.gpg` }],
      'no key in the file': [{ ...alice, keyPath: everybody }],
      'both must have signed': [alice, { ...alice, keyPath: `${lab.folder}/bob.asc` }],
      keyPaths: [{ ...alice, keyPath: undefined, keyPaths: [`${lab.folder}/bob.asc`, `${lab.folder}/alice.gpg`] }],
      'signed, and rejected': [alice, { type: 'reject' }],
    };
  };
  const IMAGES = ['good', 'other-tag', 'other-repository', 'no-tag', 'none'];
  const ACCEPTED: Record<string, string> = {
    matchExact: 'good',
    matchRepoDigestOrExact: 'good good@ other-tag@',
    matchRepository: 'good good@ other-tag other-tag@ no-tag no-tag@',
    exactReference: 'other-repository other-repository@',
    exactRepository: 'other-repository other-repository@',
    remapIdentity: 'other-repository other-repository@',
    'remapIdentity elsewhere': 'good good@ other-tag@',
    keyPaths: 'good good@ other-tag@',
  };
  for (const name of [
    ...Object.keys(ACCEPTED),
    'another key',
    'key file not there',
    'no key in the file',
    'both must have signed',
    'signed, and rejected',
  ]) {
    test(`rule: ${name}`, async () => {
      const policy = lab.policy({
        default: [{ type: 'insecureAcceptAnything' }],
        transports: { docker: { [lab.host]: rules()[name] } },
      });
      const accepted: string[] = [];
      for (const tag of IMAGES) {
        for (const by of ['tag', 'digest'] as const) {
          if ((await same(policy, tag, by)).accepted) accepted.push(by === 'tag' ? tag : `${tag}@`);
        }
      }
      assert.equal(accepted.join(' '), ACCEPTED[name] ?? '');
    });
  }

  const yes = [{ type: 'insecureAcceptAnything' }];
  const no = [{ type: 'reject' }];
  /** Scopes of docker: (H is the registry) → what they say, and what comes of it for H/ns/app:good. */
  const SCOPES: [string, Record<string, unknown[]>, unknown[], boolean][] = [
    ['the default', {}, no, false],
    ["the transport's default", { '': yes }, no, true],
    ['the registry', { '': no, H: yes }, no, true],
    ['a namespace', { H: no, 'H/ns': yes }, no, true],
    ['half a namespace', { H: no, 'H/n': yes }, no, false],
    ['the repository', { 'H/ns': no, 'H/ns/app': yes }, no, true],
    ['the tag', { 'H/ns/app': no, 'H/ns/app:good': yes }, no, true],
    ['another tag', { 'H/ns/app': no, 'H/ns/app:else': yes }, yes, false],
    ['a wildcard', { '*.0.0.1': no }, yes, false],
    ['a shorter wildcard', { '*.1': no, '*.0.1': yes }, no, true],
    ['a wildcard beside the registry', { '*.0.0.1': no, H: yes }, no, true],
    ['the host without its port', { '127.0.0.1': no }, yes, true],
    ['a wildcard with a port', { '*.0.0.1:5000': no }, yes, true],
  ];
  for (const [name, scopes, fallback, accepted] of SCOPES) {
    test(`scope: ${name}`, async () => {
      const docker = Object.fromEntries(
        Object.entries(scopes).map(([key, value]) => [key.replace(/^H/, lab.host), value]),
      );
      assert.equal((await same(lab.policy({ default: fallback, transports: { docker } }), 'good')).accepted, accepted);
    });
  }

  const MALFORMED: Record<string, string> = {
    'not JSON': '{',
    'no default': '{"transports":{}}',
    'an empty list': '{"default":[]}',
    'an unknown member': '{"default":[{"type":"reject"}],"more":1}',
    'an unknown type': '{"default":[{"type":"accept"}]}',
    'a member too many': '{"default":[{"type":"reject","keyPath":"/x"}]}',
    'a member twice': '{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}',
    'a scope twice':
      '{"default":[{"type":"reject"}],"transports":{"docker":{"a.b":[{"type":"reject"}],"a.b":[{"type":"insecureAcceptAnything"}]}}}',
    'no key': '{"default":[{"type":"signedBy","keyType":"GPGKeys"}]}',
    'two kinds of key': '{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x","keyData":"eA=="}]}',
    'an unknown kind of key': '{"default":[{"type":"signedBy","keyType":"RSA","keyPath":"/x"}]}',
    'no type of key': '{"default":[{"type":"signedBy","keyPath":"/x"}]}',
    'an unknown identity':
      '{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x","signedIdentity":{"type":"any"}}]}',
    'a reference without tag':
      '{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x","signedIdentity":{"type":"exactReference","dockerReference":"a.b/c"}}]}',
    'a prefix with a tag':
      '{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x","signedIdentity":{"type":"remapIdentity","prefix":"a.b/c:1","signedPrefix":"a.b"}}]}',
    'a prefix with capitals':
      '{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x","signedIdentity":{"type":"remapIdentity","prefix":"a.b/C","signedPrefix":"a.b/c/d"}}]}',
    'a relative path': '{"default":[{"type":"reject"}],"transports":{"oci":{"a/b":[{"type":"reject"}]}}}',
    'the root': '{"default":[{"type":"reject"}],"transports":{"dir":{"/":[{"type":"reject"}]}}}',
    'sigstore without key': '{"default":[{"type":"sigstoreSigned"}]}',
    'fulcio without rekor':
      '{"default":[{"type":"sigstoreSigned","fulcio":{"caPath":"/x","oidcIssuer":"a","subjectEmail":"b"}}]}',
  };
  for (const [name, text] of Object.entries(MALFORMED)) {
    test(`malformed: ${name}`, async () => {
      const policy = lab.policy(text);
      const theirs = await lab.skopeo(policy, 'good');
      assert.equal(theirs.accepted, false);
      assert.match(theirs.said, /[Ii]nvalid policy|Error loading trust policy|invalid/);
      await assert.rejects(lab.ours(policy, 'good'), { code: 'invalid' });
    });
  }
});
