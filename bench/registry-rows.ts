import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run } from './measure.ts';
import type { Row, Run, Setting, Who } from './rows.ts';

const LAYERS = 4;
const LAYER_SIZE = 50_000_000;
const ADDRESS: Record<Who, string> = { ours: '127.0.0.1:15987', stock: '127.0.0.1:15988' };

/** skopeo pushing an image of 200 MB to our registry and to Debian's docker-registry, and pulling it again. */
export function makeRegistryRows({ work, root }: Setting): Row[] {
  let started = false;
  const start = (): void => {
    if (started) return;
    started = true;
    const config = join(work, 'registry.yml');
    writeFileSync(
      config,
      `version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: ${join(work, 'registry-stock')} } }
http: { addr: "${ADDRESS.stock}" }
`,
    );
    const commands: Record<Who, [string, string[]]> = {
      ours: [
        join(root, 'bin/atomic'),
        ['registry', 'serve', `--listen=${ADDRESS.ours}`, `--repo=${join(work, 'registry-ours')}`],
      ],
      stock: ['docker-registry', ['serve', config]],
    };
    for (const who of ['ours', 'stock'] as const) {
      const child = spawn(...commands[who], { stdio: 'ignore' });
      process.on('exit', () => child.kill());
      const asking = `busybox wget -q -O /dev/null http://${ADDRESS[who]}/v2/`;
      run(work, 'sh', '-c', `for i in $(seq 100); do ${asking} 2> /dev/null && exit; sleep 0.2; done; exec ${asking}`);
    }
  };

  /** An image that no registry has seen, as a folder of skopeo's. */
  const makeImage = (folder: string): void => {
    mkdirSync(folder);
    const blob = (bytes: Buffer, mediaType: string) => {
      const hex = createHash('sha256').update(bytes).digest('hex');
      writeFileSync(join(folder, hex), bytes);
      return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
    };
    const diffs: string[] = [];
    const layers = Array.from({ length: LAYERS }, () => {
      const bytes = randomBytes(LAYER_SIZE);
      diffs.push(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
      // Not smaller, but compressed: or skopeo would.
      return blob(gzipSync(bytes, { level: 0 }), 'application/vnd.oci.image.layer.v1.tar+gzip');
    });
    const platform = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffs } };
    const config = blob(Buffer.from(JSON.stringify(platform)), 'application/vnd.oci.image.config.v1+json');
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
    writeFileSync(join(folder, 'version'), 'Directory Transport Version: 1.1\n');
  };

  const folderOf = ({ fresh }: Run): string => join(work, `image-${fresh}`);
  const named = ({ who, fresh }: Run): string =>
    `docker://${ADDRESS[who]}/bench/${fresh.replaceAll(/[^a-z0-9]+/g, '-')}:v1`;
  const push = (one: Run): string[] => ['copy', '-q', '--dest-tls-verify=false', `dir:${folderOf(one)}`, named(one)];
  const skopeo: Record<Who, string> = { ours: '/usr/bin/skopeo', stock: '/usr/bin/skopeo' };
  const before = (one: Run): void => {
    start();
    makeImage(folderOf(one));
  };
  const present = spawnSync('docker-registry', ['--version']).status === 0;
  if (!present) return [];
  return [
    {
      name: 'registry: push of an image of 200 MB by skopeo, to docker-registry and to ours',
      budget: 60,
      before,
      tools: skopeo,
      args: push,
    },
    {
      name: 'registry: pull of an image of 200 MB by skopeo, from docker-registry and from ours',
      budget: 60,
      before: (one) => {
        before(one);
        run(work, skopeo[one.who], ...push(one));
        rmSync(folderOf(one), { recursive: true });
      },
      tools: skopeo,
      args: (one) => ['copy', '-q', '--src-tls-verify=false', named(one), `dir:${join(work, `pulled-${one.fresh}`)}`],
    },
  ];
}
