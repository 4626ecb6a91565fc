/** A registry with images, keys of all kinds, signatures good and bad, and skopeo and podman to judge them beside us. */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AttachmentStore,
  type Decision,
  decide,
  type FullName,
  imageSignatures,
  loadPolicy,
  loadRegistriesD,
  parseFullName,
  signaturePlaces,
} from '@atomic/containers';
import { MEDIA } from '@atomic/oci';
import { addToLookaside } from '../../packages/containers/src/policy/signatures/lookaside.ts';
import { formatClaim } from '../../packages/containers/src/policy/signatures/payload.ts';
import { TestGpg } from '../../packages/ostree/src/sign/test-keys.ts';
import { makeImage, scratchFolder, startRegistry } from './lab.ts';

/** Runs a tool to its end, without blocking. */
export async function run(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ status: number | null; out: string; err: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { status, out, err };
}

const LONG_AGO = '20200101T000000';

/** Keys by what is the matter with them. */
export interface Keys {
  alice: string;
  bob: string;
  /** Its one day ended in 2020. */
  old: string;
  /** Revoked by its owner, after it had signed. */
  gone: string;
  /** Signs with a subkey. */
  dave: string;
}

/** What of a manifest all images here have. */
interface Seed {
  config: { digest: string };
  layers: { digest: string }[];
}

export class TrustLab implements AsyncDisposable {
  readonly folder: string;
  readonly host: string;
  readonly gpg = new TestGpg();
  readonly keys: Keys;
  readonly lookaside: string;
  readonly registriesD: string;
  readonly manifests = new Map<string, { bytes: Buffer; digest: string }>();
  readonly #close: () => Promise<void>;
  #seed: Seed = { config: { digest: '' }, layers: [] };
  #serial = 0;

  private constructor(folder: string, host: string, close: () => Promise<void>) {
    this.folder = folder;
    this.host = host;
    this.#close = close;
    this.lookaside = `file://${folder}/lookaside`;
    this.registriesD = join(folder, 'registries.d');
    mkdirSync(this.registriesD);
    const settings = `default-docker:\n  lookaside: ${this.lookaside}\n  use-sigstore-attachments: true\n`;
    writeFileSync(join(this.registriesD, 'default.yaml'), settings);
    const { gpg } = this;
    const dave = gpg.generate('Dave <dave@example.org>', 'never', { usage: 'cert' });
    gpg.run(['--quick-add-key', dave, 'ed25519', 'sign', 'never']);
    this.keys = {
      alice: gpg.generate('Alice <alice@example.org>'),
      bob: gpg.generate('Bob <bob@example.org>'),
      old: gpg.generate('Old <old@example.org>', '1d', { at: LONG_AGO }),
      gone: gpg.generate('Gone <gone@example.org>'),
      dave,
    };
  }

  static async start(): Promise<TrustLab> {
    const work = scratchFolder('trust');
    const registry = await startRegistry();
    const lab = new TrustLab(work.path, registry.host, async () => {
      await registry[Symbol.asyncDispose]();
      work[Symbol.dispose]();
    });
    const image = await makeImage(join(work.path, 'seed'), 'seed', { bare: true, files: { hello: 'there' } });
    registry.push(image.reference, 'ns/app:seed');
    const seed: Seed = JSON.parse((await lab.#get('ns/app/manifests/seed')).toString());
    lab.#seed = seed;
    return lab;
  }

  async #get(path: string): Promise<Buffer> {
    const answer = await fetch(`http://${this.host}/v2/${path}`, { headers: { accept: MEDIA.manifest } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return Buffer.from(await answer.arrayBuffer());
  }

  /** An image to push elsewhere. */
  seedImage = (): string => `oci:${join(this.folder, 'seed')}:seed`;

  /** Puts an image of its own digest under a tag. */
  async image(tag: string, repository = 'ns/app'): Promise<string> {
    const at = `http://${this.host}/v2/${repository}`;
    if (repository !== 'ns/app') await this.#mount(at);
    const annotations = { tag, repository };
    const manifest = { schemaVersion: 2, mediaType: MEDIA.manifest, ...this.#seed, annotations };
    const bytes = Buffer.from(JSON.stringify(manifest));
    const answer = await fetch(`${at}/manifests/${tag}`, {
      method: 'PUT',
      headers: { 'content-type': MEDIA.manifest },
      body: bytes,
    });
    const digest = answer.headers.get('docker-content-digest');
    if (!answer.ok || digest === null) throw new Error(`PUT ${tag}: ${answer.status}`);
    if (repository === 'ns/app') this.manifests.set(tag, { bytes, digest });
    return digest;
  }

  /** Makes the blobs of the seed known in another repository. */
  async #mount(at: string): Promise<void> {
    const { config, layers } = this.#seed;
    for (const { digest } of [config, ...layers]) {
      const answer = await fetch(`${at}/blobs/uploads/?mount=${digest}&from=ns/app`, { method: 'POST' });
      if (answer.status !== 201) throw new Error(`mount: ${answer.status}`);
    }
  }

  reference = (tag: string, repository = 'ns/app'): string => `${this.host}/${repository}:${tag}`;

  digest(tag: string): string {
    return this.manifests.get(tag)?.digest ?? '';
  }

  /** What is signed of an image, as it should be. */
  claim = (tag: string, reference = this.reference(tag), digest = this.digest(tag)): Buffer =>
    formatClaim({ digest, reference, creator: 'atomic', made: 1_700_000_000 }, 'simple');

  /** A signed message, by gpg itself. */
  message(key: string, content: Buffer, options: { at?: string; args?: string[] } = {}): Buffer {
    return this.gpg.run([...(options.args ?? []), '-u', key, '--sign', '-o', '-'], { input: content, ...options });
  }

  attach(tag: string, ...blobs: Buffer[]): void {
    for (const blob of blobs)
      addToLookaside(this.lookaside, parseFullName(this.reference(tag)), this.digest(tag), blob);
  }

  /** Writes a file; returns its path. */
  file(name: string, content: string | Buffer): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** Writes a policy; returns its path. */
  policy(value: unknown): string {
    return this.file(`policy-${this.#serial++}.json`, typeof value === 'string' ? value : JSON.stringify(value));
  }

  /** Signatures beside images, by plain requests. */
  get attachments(): AttachmentStore {
    return {
      manifest: async (tag) => {
        const answer = await fetch(`http://${this.host}/v2/ns/app/manifests/${tag}`, {
          headers: { accept: MEDIA.manifest },
        });
        return answer.ok ? Buffer.from(await answer.arrayBuffer()) : undefined;
      },
      blob: async ({ digest }) => await this.#get(`ns/app/blobs/${digest}`),
    };
  }

  /** Our decision on an image by tag, or by the digest of the one under that tag. */
  async ours(policy: string, tag: string, by: 'tag' | 'digest' = 'tag'): Promise<Decision> {
    const name: FullName = parseFullName(this.#name(tag, by));
    const manifest = this.manifests.get(tag);
    if (manifest === undefined) throw new Error(`no image ${tag}`);
    const places = signaturePlaces(name, loadRegistriesD(this.registriesD), join(this.folder, 'none'));
    const { digest, bytes } = manifest;
    const { attachments } = this;
    return await decide(loadPolicy(policy), {
      transport: 'docker',
      name,
      manifest: bytes,
      signatures: async () => await imageSignatures({ name, digest, places, attachments }),
    });
  }

  #name = (tag: string, by: 'tag' | 'digest'): string =>
    by === 'tag' ? this.reference(tag) : `${this.host}/ns/app@${this.digest(tag)}`;

  /** What skopeo does with the same policy and image. */
  async skopeo(
    policy: string,
    tag: string,
    by: 'tag' | 'digest' = 'tag',
  ): Promise<{ accepted: boolean; said: string }> {
    const { status, err } = await run('skopeo', [
      ...[
        '--policy',
        policy,
        '--registries.d',
        this.registriesD,
        'copy',
        '--src-tls-verify=false',
        '--remove-signatures',
      ],
      ...[`docker://${this.#name(tag, by)}`, `dir:${join(this.folder, `copy-${this.#serial++}`)}`],
    ]);
    return { accepted: status === 0, said: err };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.gpg[Symbol.dispose]();
    await this.#close();
  }
}

export interface SignatureKind {
  good: boolean;
  /** What our reason says. */
  why?: RegExp;
  /** What older versions of skopeo get wrong, so that they are not asked. */
  newer?: string;
  make: (lab: TrustLab, tag: string) => Buffer[];
}

/** Each kind of signature, and how it is made; `good` are those that must be accepted when all keys are trusted. */
export const SIGNATURES: Record<string, SignatureKind> = {
  none: { good: false, why: /has to be signed and is not/, make: () => [] },
  good: { good: true, make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag))] },
  stranger: {
    good: false,
    why: /whose key is not in/,
    make: (lab, tag) => [lab.message(lab.gpg.generate('Eve <eve@example.org>'), lab.claim(tag))],
  },
  'expired-key': {
    good: false,
    why: /key \S+ \(Old.*\) expired on 2020-01-02/,
    make: (lab, tag) => [lab.message(lab.keys.old, lab.claim(tag), { at: '20200101T010000' })],
  },
  'revoked-key': {
    good: false,
    why: /revoked by its owner/,
    make: (lab, tag) => [lab.message(lab.keys.gone, lab.claim(tag))],
  },
  'expired-signature': {
    good: false,
    why: /signature by .* expired on/,
    make: (lab, tag) => {
      const past = lab.gpg.generate('Past <past@example.org>', 'never', { at: LONG_AGO });
      return [lab.message(past, lab.claim(tag), { at: LONG_AGO, args: ['--default-sig-expire', '1d'] })];
    },
  },
  subkey: {
    good: true,
    newer: 'signatures by subkeys',
    make: (lab, tag) => [lab.message(lab.keys.dave, lab.claim(tag))],
  },
  'other-repository': {
    good: false,
    why: /is for .*other\/app:other-repository, which matchRepoDigestOrExact does not take/,
    make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag, lab.reference(tag, 'other/app')))],
  },
  'other-tag': {
    good: false,
    why: /is for .*ns\/app:other, which/,
    make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag, lab.reference('other')))],
  },
  'no-tag': {
    good: false,
    make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag, `${lab.host}/ns/app`))],
  },
  'by-digest': {
    good: false,
    make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag, `${lab.host}/ns/app@${lab.digest(tag)}`))],
  },
  'other-digest': {
    good: false,
    why: /for another manifest, sha256:0000/,
    make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag, lab.reference(tag), `sha256:${'0'.repeat(64)}`))],
  },
  'escapes-in-name': {
    good: false,
    why: /^the signature is for x\uFFFD\[31mred, which/,
    make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag, 'x\u001b[31mred'))],
  },
  'no-name': { good: false, make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag, 'UPPER//case'))] },
  changed: {
    good: false,
    why: /bad: what was signed has been changed/,
    make: (lab, tag) => {
      const message = lab.message(lab.keys.alice, lab.claim(tag), { args: ['--compress-algo', 'none'] });
      const at = message.indexOf('ns/app');
      message[at] = 'm'.charCodeAt(0);
      return [message];
    },
  },
  'cut-off': {
    good: false,
    make: (lab, tag) => [lab.message(lab.keys.alice, lab.claim(tag)).subarray(0, 100)],
  },
  garbage: { good: false, why: /malformed/, make: () => [Buffer.from('this is no signature')] },
  empty: { good: false, make: () => [Buffer.alloc(0)] },
  cleartext: {
    good: false,
    why: /cleartext/,
    make: (lab, tag) => [lab.gpg.run(['-u', lab.keys.alice, '--clearsign', '-o', '-'], { input: lab.claim(tag) })],
  },
  detached: { good: false, make: (lab, tag) => [lab.gpg.sign(lab.claim(tag), lab.keys.alice)] },
  unsigned: { good: false, make: (lab, tag) => [lab.gpg.run(['--store', '-o', '-'], { input: lab.claim(tag) })] },
  'two-signers': {
    good: false,
    make: (lab, tag) => [
      lab.gpg.run(['-u', lab.keys.alice, '-u', lab.keys.bob, '--sign', '-o', '-'], { input: lab.claim(tag) }),
    ],
  },
  'second-is-good': {
    good: true,
    make: (lab, tag) => [
      lab.message(lab.keys.old, lab.claim(tag), { at: '20200101T010000' }),
      lab.message(lab.keys.bob, lab.claim(tag)),
    ],
  },
  'more-in-critical': changed((claim) => claim.replace('"critical":{', '"critical":{"more":1,')),
  'more-in-optional': { ...changed((claim) => claim.replace('"optional":{', '"optional":{"more":1,')), good: true },
  'more-beside': changed((claim) => claim.replace('{"critical"', '{"more":1,"critical"')),
  'twice-in-critical': changed((claim) =>
    claim.replace('"critical":{', '"critical":{"type":"atomic container signature",'),
  ),
  'no-optional': changed((claim) => claim.replace(/,"optional":\{.*?\}\}$/, '}')),
  'optional-null': changed((claim) => claim.replace(/"optional":\{.*?\}/, '"optional":null')),
  'half-a-second': changed((claim) => claim.replace('1700000000', '1700000000.5')),
  'creator-number': changed((claim) => claim.replace('"atomic"', '7')),
  'other-type': changed((claim) => claim.replace('atomic container signature', 'cosign container image signature')),
  'not-json': changed(() => 'hello'),
};

/** A good signature of something that is not quite a claim. */
function changed(edit: (claim: string) => string): SignatureKind {
  return {
    good: false,
    make: (lab, tag) => [lab.message(lab.keys.alice, Buffer.from(edit(lab.claim(tag).toString())))],
  };
}
