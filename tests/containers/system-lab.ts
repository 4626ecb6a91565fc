/** System containers on a root of their own, with a systemctl that really starts what units say. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  defaultName,
  type ImageStore,
  Lifecycle,
  openImageStore,
  placesOf,
  type StoredImage,
  SystemContainers,
  Systemd,
} from '@atomic/containers';
import { openSource, parseImageReference } from '@atomic/oci';
import { type ImageRecipe, makeImage, scratchFolder } from './lab.ts';

const CONFIG = {
  ociVersion: '1.0.0',
  platform: { os: 'linux', arch: 'amd64' },
  process: {
    terminal: false,
    args: ['/bin/serve.sh'],
    env: ['PATH=/bin:/usr/bin', 'PORT=$PORT', 'GREETING=$GREETING', 'NAME=$NAME'],
    cwd: '/',
  },
  root: { path: 'rootfs', readonly: true },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] },
    { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777'] },
    // As images of that time wrote it.
    { destination: '/var/log', type: 'rbind', source: '${STATE_DIRECTORY}/${NAME}', options: ['rw'] },
  ],
  hooks: {},
  linux: {
    // What one of them wrote in another place than today.
    capabilities: ['CAP_NET_BIND_SERVICE', 'CAP_KILL'],
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
    resources: { devices: [{ allow: false, access: 'rwm' }] },
    rootfsPropagation: 'rslave',
    namespaces: [{ type: 'pid' }, { type: 'ipc' }, { type: 'mount' }],
    devices: null,
    apparmorProfile: '',
  },
};

export interface WebOptions {
  version: string;
  /** It answers, or it fails at once, or it runs without an answer. */
  serve?: 'well' | 'fails' | 'mute';
  files?: Record<string, string>;
  manifest?: Record<string, unknown>;
  labels?: Record<string, string>;
}

/** An image with everything the contract has: it answers on $PORT with its version and its greeting. */
export function webRecipe({
  version,
  serve = 'well',
  files = {},
  manifest = {},
  labels = {},
}: WebOptions): ImageRecipe {
  const body = {
    well: 'mkdir -p /tmp/www; echo "$GREETING from VERSION" > /tmp/www/index.html; httpd -f -p "$PORT" -h /tmp/www & wait',
    fails: 'echo no configuration; exit 3',
    mute: 'sleep 1000 & wait',
  }[serve].replace('VERSION', version);
  return {
    labels: { 'atomic.type': 'system', version, ...labels },
    files: {
      'bin/serve.sh': `#!/bin/sh\ntrap 'exit 0' TERM\necho ${version} >> /var/log/versions\n${body}\n`,
      'exports/config.json.template': JSON.stringify(CONFIG, null, 2),
      'exports/service.template': `[Unit]
Description=Web of the tests
After=network.target

[Service]
ExecStart=$EXEC_START
ExecStop=$EXEC_STOP
Restart=on-failure
WorkingDirectory=$DESTDIR

[Install]
WantedBy=multi-user.target
`,
      'exports/tmpfiles.template': 'd ${STATE_DIRECTORY}/${NAME} 0755 ${HOST_UID} ${HOST_GID} - -\n',
      'exports/manifest.json': JSON.stringify({
        version: '1.0',
        defaultValues: { GREETING: 'hello' },
        installedFilesTemplate: ['/etc/web.conf'],
        renameFiles: {
          '/etc/web.conf': '$CONF_DIRECTORY/$NAME/web.conf',
          '/usr/local/bin/webctl': '/usr/local/bin/${NAME}ctl',
        },
        health: { http: 'http://127.0.0.1:$PORT/', seconds: 6, interval: 0.2, settle: 0.3 },
        ...manifest,
      }),
      'exports/hostfs/etc/web.conf': `# ${version}\nport = $PORT\n`,
      'exports/hostfs/usr/local/bin/webctl': `#!/bin/sh\necho ${version}\n`,
      ...files,
    },
  };
}

export interface SystemLab extends Disposable {
  root: string;
  containers: SystemContainers;
  services: Systemd;
  store: ImageStore;
  images: Map<string, string>;
  /** Puts an image under a name where `obtain` finds it. */
  publish(name: string, recipe: ImageRecipe): Promise<void>;
  open(): SystemContainers;
  calls(): string[];
  /** What the variables of the shim and its PATH are. */
  environment: Record<string, string>;
}

let serial = 0;

export function systemLab(): SystemLab {
  const scratch = scratchFolder('system');
  const root = join(scratch.path, 'root');
  const bin = join(scratch.path, 'bin');
  const state = join(scratch.path, 'shim');
  for (const path of [join(root, 'etc/systemd/system'), join(root, 'run'), join(root, 'var/lib'), bin, state]) {
    mkdirSync(path, { recursive: true });
  }
  const shim = join(import.meta.dirname, 'systemctl.ts');
  writeFileSync(join(bin, 'systemctl'), `#!/bin/sh\nexec '${process.execPath}' --no-warnings '${shim}' "$@"\n`);
  writeFileSync(join(bin, 'journalctl'), '#!/bin/sh\nexit 1\n');
  for (const name of ['systemctl', 'journalctl']) chmodSync(join(bin, name), 0o755);
  const environment = { SHIM_ROOT: root, SHIM_STATE: state, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const before = Object.fromEntries(Object.keys(environment).map((name) => [name, process.env[name]]));
  Object.assign(process.env, environment);
  const store = openImageStore({
    systemRepo: join(scratch.path, 'none'),
    state: join(root, 'var/lib/atomic/containers'),
  });
  const services = new Systemd({ mark: state });
  const images = new Map<string, string>();
  const obtain = async (name: string): Promise<StoredImage> => {
    const layout = images.get(name);
    if (layout === undefined) throw new Error(`no image ${name}`);
    await using source = await openSource(parseImageReference(`oci:${layout}:x`));
    return (await store.pull(source, { name })).image;
  };
  const open = (): SystemContainers => {
    const { host, folder } = placesOf({ root, atomic: '/usr/bin/atomic', user: null });
    const paths = { runDirectory: `${root}/run`, stateDirectory: `${root}/var/lib` };
    const lifecycle = new Lifecycle({ folder, root, services, title: 'test' });
    return new SystemContainers({
      // Without a kernel's say: what is tested must not hang on the machine the tests run on.
      host: { ...host, ...paths, security: { selinux: false, apparmor: null, apparmorParser: null } },
      lifecycle,
      store: async () => store,
      obtain,
    });
  };
  const lab: SystemLab = {
    root,
    containers: open(),
    services,
    store,
    images,
    publish: async (name, recipe) => {
      const layout = join(scratch.path, `image-${defaultName(name)}-${serial++}`);
      await makeImage(layout, 'x', recipe);
      images.set(name, layout);
    },
    open,
    calls: () => {
      try {
        return readFileSync(join(state, 'calls'), 'utf8').trim().split('\n');
      } catch {
        return [];
      }
    },
    environment,
    [Symbol.dispose]: () => {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      scratch[Symbol.dispose]();
    },
  };
  return lab;
}

/** crun refuses machines with both kinds of control groups, such as this may be: it gets to see one. */
export function crunOfOneKind(folder: string): string {
  const path = join(folder, 'crun');
  const hide = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun --cgroup-manager=disabled "$@"';
  writeFileSync(path, `#!/bin/sh\nexec unshare --mount sh -c '${hide}' crun "$@"\n`, { mode: 0o755 });
  return path;
}
