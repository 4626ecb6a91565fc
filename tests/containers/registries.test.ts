/** registries.conf: what is fetched from where is what skopeo fetches; searching several registries. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { loadRegistries, openCandidate, resolveImage, trustPaths } from '@atomic/containers';
import { parseImageName } from '@atomic/oci';
import { AtomicError } from '@atomic/ostree';
import { lacks, root, startRegistry } from './lab.ts';
import { run, TrustLab } from './trust-lab.ts';

const skip = lacks('skopeo', 'docker-registry') ?? false;

suite('registries.conf beside skopeo', { skip, concurrency: 2 }, () => {
  let lab: TrustLab;
  before(async () => {
    lab = await TrustLab.start();
    await lab.image('1');
    await lab.image('2');
    await lab.image('1', 'mirror/app');
    await lab.image('other', 'mirror/app');
  });
  after(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  const DIGEST = '@sha256:';
  /** Settings (H is the registry) → names; all of them are tried by both. */
  const TABLE: Record<string, [string, string[]]> = {
    nothing: ['', ['H/ns/app:1', 'H/ns/app:3', 'H/nowhere:1']],
    blocked: ['[[registry]]\nlocation = "H"\nblocked = true', ['H/ns/app:1']],
    'a namespace blocked': ['[[registry]]\nlocation = "H/ns"\nblocked = true', ['H/ns/app:1', 'H/mirror/app:1']],
    'half a namespace blocked': ['[[registry]]\nlocation = "H/n"\nblocked = true', ['H/ns/app:1']],
    'open below what is blocked': [
      '[[registry]]\nlocation = "H"\nblocked = true\n[[registry]]\nprefix = "H/ns"\nlocation = "H/ns/"\nblocked = false',
      ['H/ns/app:1', 'H/mirror/app:1'],
    ],
    remapped: [
      '[[registry]]\nprefix = "shop.invalid/x"\nlocation = "H/ns"',
      ['shop.invalid/x/app:1', 'shop.invalid/x/app:3'],
    ],
    'remapped as a whole': ['[[registry]]\nprefix = "shop.invalid"\nlocation = "H"', ['shop.invalid/ns/app:2']],
    'a wildcard remapped': [
      '[[registry]]\nprefix = "*.invalid"\nlocation = "H"',
      ['a.b.invalid/ns/app:2', 'a.b.invalid/none:1'],
    ],
    'a wildcard blocked': ['[[registry]]\nprefix = "*.0.0.1"\nblocked = true', ['H/ns/app:1']],
    'the hub remapped': [
      '[[registry]]\nprefix = "docker.io/library"\nlocation = "H/ns"',
      ['docker.io/app:1', 'docker.io/library/app:2'],
    ],
    'a mirror first': [
      '[[registry]]\nlocation = "H/ns"\n[[registry.mirror]]\nlocation = "H/mirror"',
      ['H/ns/app:1', 'H/ns/app:2', 'H/ns/app:other', 'H/ns/app:3'],
    ],
    'a mirror that is not there': [
      '[[registry]]\nlocation = "H/ns"\n[[registry.mirror]]\nlocation = "127.0.0.1:1/gone"',
      ['H/ns/app:1'],
    ],
    'a mirror by digest only': [
      '[[registry]]\nprefix = "shop.invalid"\nlocation = "H/nothing"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "H/ns"',
      ['shop.invalid/app:1', `shop.invalid/app${DIGEST}1`],
    ],
    'the old form': ["[registries.block]\nregistries = ['H']", ['H/ns/app:1']],
    'the old form, insecure': ["[registries.insecure]\nregistries = ['H']", ['H/ns/app:1']],
    'both forms': ["[registries.block]\nregistries = ['a.b']\n[[registry]]\nlocation = 'c.d'", ['H/ns/app:1']],
    'no location': ['[[registry]]\nprefix = "a.b"', ['H/ns/app:1']],
    'a scheme': ['[[registry]]\nlocation = "https://a.b"', ['H/ns/app:1']],
    'a malformed alias': ['[aliases]\n"x" = "no-registry"', ['H/ns/app:1']],
    'said twice': [
      '[[registry]]\nprefix = "p.q"\nlocation = "a.b"\nblocked = true\n[[registry]]\nprefix = "r.s"\nlocation = "a.b"',
      ['H/ns/app:1'],
    ],
    'unknown keys': ['colour = "blue"\n[[registry]]\nlocation = "a.b"\nsmell = 1', ['H/ns/app:1']],
  };

  const digestBySkopeo = async (conf: string, name: string): Promise<string | undefined> => {
    const args = ['--registries-conf', conf, 'inspect', '--tls-verify=false', '--raw', `docker://${name}`];
    const { status, out } = await run('skopeo', args, { HOME: lab.folder });
    return status === 0 ? `sha256:${createHash('sha256').update(out).digest('hex')}` : undefined;
  };
  const digestByUs = async (conf: string, name: string): Promise<string | undefined> => {
    const paths = trustPaths({ privileged: true, override: { registriesConf: conf, registriesConfDirs: [] } });
    try {
      const [candidate] = resolveImage(parseImageName(name), loadRegistries(paths)).candidates;
      assert.ok(candidate);
      await using source = openCandidate(candidate, () => ({ insecure: true, retries: 0 }));
      return (await source.manifest()).digest;
    } catch (error) {
      assert.ok(error instanceof AtomicError, String(error));
      return undefined;
    }
  };

  for (const [name, [text, images]] of Object.entries(TABLE)) {
    test(name, async () => {
      const conf = lab.file(`${name}.conf`, text.replaceAll('H', lab.host));
      for (const image of images) {
        const [base = '', tag] = image.replace(/^H/, lab.host).split(DIGEST);
        const full = tag === undefined ? base : `${base}@${lab.digest(tag)}`;
        const [ours, theirs] = await Promise.all([digestByUs(conf, full), digestBySkopeo(conf, full)]);
        assert.equal(ours, theirs, image);
      }
    });
  }

  // Not in this process's time: the index is served by it.
  const atomic = (args: string[]) => run(join(root, 'bin/atomic'), args);

  test('search: all registries, by whole names; one that fails stops nothing', async () => {
    await using second = await startRegistry();
    const image = lab.seedImage();
    second.push(image, 'shop/application');
    // An index as the hub and Quay have it.
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '', 'http://x');
      response.setHeader('content-type', 'application/json');
      if (url.pathname !== '/v1/search' || url.searchParams.get('q') !== 'app') return response.writeHead(404).end();
      const results = [
        { name: 'few/app', star_count: 3, is_official: false, description: 'two\nlines\u001b[31m' },
        { name: 'app', star_count: 900, is_official: true, description: 'The app' },
      ];
      return response.end(JSON.stringify({ results }));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const index = `127.0.0.1:${address.port}`;
    try {
      const conf = lab.file(
        'search.conf',
        `unqualified-search-registries = ["${lab.host}", "${index}", "${second.host}", "127.0.0.1:1", "no.invalid"]\n[[registry]]\nlocation = "no.invalid"\nblocked = true\n`,
      );
      const json = await atomic(['search', '--json', '--registries-conf', conf, 'app']);
      assert.equal(json.status, 0, json.err);
      const found: { images: { name: string; stars: number; official: boolean; description: string }[] } = JSON.parse(
        json.out,
      );
      assert.deepEqual(
        found.images.map(({ name }) => name),
        [
          `${lab.host}/mirror/app`,
          `${lab.host}/ns/app`,
          `${index}/app`,
          `${index}/few/app`,
          `${second.host}/shop/application`,
        ],
      );
      assert.equal(found.images[3]?.description, 'two lines [31m');
      assert.match(json.err, /127\.0\.0\.1:1 was not searched/);
      assert.match(json.err, /no\.invalid was not searched: it is blocked/);
      const text = await atomic(['search', '--registries-conf', conf, '--stars', '5', 'app']);
      assert.match(
        text.out,
        new RegExp(`^INDEX +NAME +STARS +OFFICIAL +DESCRIPTION\n${index} +${index}/app +900 +yes +The app\n$`),
      );
      const one = await atomic(['search', '--registries-conf', conf, '--no-index', '-n', `${second.host}/app`]);
      assert.equal(one.out.trim(), `${second.host}/shop/application`);
      assert.equal((await atomic(['search', '--registry', '127.0.0.1:1', 'app'])).status, 1);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
