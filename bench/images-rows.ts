import { spawn, spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './measure.ts';
import type { Row, Run, Setting } from './rows.ts';

const REGISTRY = '127.0.0.1:15989';
const NAME = `${REGISTRY}/bench/image:v1`;

/**
 * An image of 500 MB in two layers, a Debian tree and its libraries once more: into our store, beside umoci's unpacking
 * and beside the docker engine's pull, which unpacks as well. (The engine's own processor time is its daemon's, and not
 * counted in the columns.) Then a system container of an image that is in the store already, and of a small one, beside
 * `podman create`; where systemd runs, its `daemon-reload` comes on top of ours.
 */
export function makeImageRows({ work, root, trees }: Setting): Row[] {
  const missing = ['umoci', 'docker', 'dockerd', 'docker-registry', 'skopeo', 'podman'].some(
    (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
  );
  if (missing) return [];
  const layout = join(work, 'image-layout');
  const policy = join(work, 'policy.json');
  const registries = join(work, 'registries.conf');
  const socket = `unix://${join(work, 'docker.sock')}`;
  let made = false;
  let started = false;

  const make = (): void => {
    if (made) return;
    made = true;
    writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    writeFileSync(registries, '');
    const image = `${layout}:v1`;
    run(work, 'umoci', 'init', '--layout', layout);
    run(work, 'umoci', 'new', '--image', image);
    const layers: [string, string[]][] = [
      ['layer-1.tar', ['.']],
      ['layer-2.tar', ['--transform=s,^,copy/,', 'usr/lib']],
    ];
    for (const [name, what] of layers) {
      const tar = join(work, name);
      run(work, 'tar', '--sort=name', '--numeric-owner', '-C', trees.tree, '-cf', tar, ...what);
      run(work, 'umoci', 'raw', 'add-layer', '--image', image, tar);
      rmSync(tar);
    }
  };
  const start = (): void => {
    if (started) return;
    started = true;
    make();
    const config = join(work, 'image-registry.yml');
    const storage = join(work, 'image-registry');
    writeFileSync(
      config,
      JSON.stringify({
        version: 0.1,
        log: { level: 'error' },
        storage: { filesystem: { rootdirectory: storage } },
        http: { addr: REGISTRY },
      }),
    );
    const engine = [
      ...['-H', socket, '--data-root', join(work, 'docker'), '--exec-root', join(work, 'docker-exec')],
      ...['-p', join(work, 'docker.pid'), '--bridge=none', '--iptables=false', '--ip-forward=false', '--ip-masq=false'],
    ];
    const commands: [string, string[]][] = [
      ['docker-registry', ['serve', config]],
      ['dockerd', engine],
    ];
    for (const [program, args] of commands) {
      const child = spawn(program, args, { stdio: 'ignore' });
      // Before the folder goes that it has things mounted in.
      process.prependListener('exit', () => {
        const { pid } = child;
        spawnSync('sh', [
          '-c',
          `kill ${pid}; for i in $(seq 100); do kill -0 ${pid} 2> /dev/null || exit; sleep 0.1; done`,
        ]);
      });
    }
    const ready = `docker -H ${socket} version > /dev/null 2>&1`;
    run(work, 'sh', '-c', `for i in $(seq 150); do ${ready} && exit; sleep 0.2; done; exec ${ready}`);
    run(
      work,
      'skopeo',
      '--insecure-policy',
      'copy',
      '-q',
      '--dest-tls-verify=false',
      `oci:${layout}:v1`,
      `docker://${NAME}`,
    );
  };

  const atomic = join(root, 'bin/atomic');
  const settings = ['--policy', policy, '--registries-conf', registries];
  const store = ({ fresh }: Run): string[] => [
    'env',
    `ATOMIC_VAR_LIB=${join(work, `state-${fresh}`)}`,
    `ATOMIC_OSTREE_REPO=${join(work, `store-${fresh}`)}`,
  ];
  const makeStore = (one: Run): void => {
    if (one.who === 'ours') run(work, 'ostree', `--repo=${join(work, `store-${one.fresh}`)}`, 'init', '--mode=bare');
  };
  const podman = ['--root', join(work, 'podman'), '--runroot', join(work, 'podman-run')];
  const present = new Set<string>();
  /** Puts the image of a layout into our store and podman's, once. */
  const bring = (name: string, from: string): void => {
    if (present.has(name)) return;
    present.add(name);
    const mine: Run = { who: 'ours', serial: 0, fresh: 'installs' };
    if (present.size === 1) makeStore(mine);
    const [program = '', ...args] = [...store(mine), atomic, 'pull', ...settings, `--name=${name}`, `oci:${from}:v1`];
    run(work, program, ...args);
    const storage = `containers-storage:[overlay@${join(work, 'podman')}+${join(work, 'podman-run')}]${name}`;
    run(work, 'skopeo', '--insecure-policy', 'copy', '-q', `oci:${from}:v1`, storage);
  };
  const install = (what: string, image: string, layoutOf: () => string): Row => ({
    name: `images: install as a system container of ${what} that is here already, beside podman create (aim: 0.3 s at most)`,
    budget: 20,
    tools: { ours: '/usr/bin/unshare', stock: '/usr/bin/podman' },
    before: () => bring(image, layoutOf()),
    args: ({ who, fresh, serial }) =>
      who === 'stock'
        ? [...podman, 'create', '--name', `c${fresh}`, image, 'true']
        : [
            // What it writes for systemd is not for this machine.
            ...[
              '-m',
              'sh',
              '-c',
              'for i in systemd/system tmpfiles.d; do mount -t tmpfs none /etc/$i; done; exec "$@"',
            ],
            ...[
              'sh',
              ...store({ who, serial, fresh: 'installs' }),
              `ATOMIC_OSTREE_CHECKOUT_PATH=${join(work, 'system')}`,
            ],
            ...[atomic, 'install', '--system', `--name=c${fresh}`, image],
          ],
  });
  const small = (): string => {
    const from = join(work, 'image-small');
    if (!existsSync(from)) {
      make();
      const tar = join(work, 'small.tar');
      run(work, 'umoci', 'init', '--layout', from);
      run(work, 'umoci', 'new', '--image', `${from}:v1`);
      run(work, 'tar', '--sort=name', '--numeric-owner', '-C', trees.tree, '-cf', tar, 'etc', 'usr/bin');
      run(work, 'umoci', 'raw', 'add-layer', '--image', `${from}:v1`, tar);
      rmSync(tar);
    }
    return from;
  };
  return [
    install('an image of 700 files', 'localhost/small:v1', small),
    install('the image of 500 MB and 13,000 files', 'localhost/large:v1', () => {
      make();
      return layout;
    }),
    {
      name: 'images: 500 MB from a layout, by umoci unpack into a folder and by atomic pull into the store',
      budget: 60,
      tools: { ours: '/usr/bin/env', stock: '/usr/bin/umoci' },
      before: (one) => {
        make();
        makeStore(one);
      },
      args: (one) =>
        one.who === 'stock'
          ? ['unpack', '--image', `${layout}:v1`, join(work, `root-${one.fresh}`)]
          : [...store(one).slice(1), atomic, 'pull', ...settings, '--name=localhost/image:v1', `oci:${layout}:v1`],
    },
    {
      name: 'images: 500 MB from docker-registry, by docker pull and by atomic pull',
      budget: 60,
      tools: { ours: '/usr/bin/env', stock: '/usr/bin/docker' },
      before: (one) => {
        start();
        makeStore(one);
        if (one.who === 'stock') spawnSync('docker', ['-H', socket, 'rmi', NAME]);
      },
      args: (one) =>
        one.who === 'stock'
          ? ['-H', socket, 'pull', '-q', NAME]
          : [...store(one).slice(1), atomic, 'pull', ...settings, NAME],
    },
    {
      name: 'images: an image that is here already, by docker pull and by atomic pull',
      budget: 20,
      tools: { ours: '/usr/bin/env', stock: '/usr/bin/docker' },
      before: (one) => {
        start();
        if (one.who === 'stock') run(work, 'docker', '-H', socket, 'pull', '-q', NAME);
        else if (one.serial === 0) {
          makeStore({ ...one, fresh: 'present' });
          const [program = '', ...args] = [...store({ ...one, fresh: 'present' }), atomic, 'pull', ...settings, NAME];
          run(work, program, ...args);
        }
      },
      args: (one) =>
        one.who === 'stock'
          ? ['-H', socket, 'pull', '-q', NAME]
          : [...store({ ...one, fresh: 'present' }).slice(1), atomic, 'pull', ...settings, NAME],
    },
  ];
}
