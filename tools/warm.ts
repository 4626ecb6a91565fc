/**
 * Runs the most used commands of a bundle in this process and writes V8's compiled form of what they needed:
 * `warm.ts BUNDLE CACHE SCRATCH`. Functions that were never called stay out: reading them back costs time too.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { constants, Script } from 'node:vm';

const [bundle = '', cache = '', scratch = ''] = process.argv.slice(2);
const tree = join(scratch, 'tree');
const repo = join(scratch, 'repo');
mkdirSync(join(tree, 'folder'), { recursive: true });
writeFileSync(join(tree, 'folder/file'), 'content');

/** An image of one empty layer, for the program that has the verbs of containers. */
function makeLayout(folder: string): void {
  const blob = (bytes: Buffer | string, mediaType: string) => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
    writeFileSync(join(folder, 'blobs/sha256', digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(bytes) };
  };
  const layer = blob(Buffer.alloc(1024), 'application/vnd.oci.image.layer.v1.tar');
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const json = (value: object, mediaType: string) => blob(JSON.stringify(value), mediaType);
  const image = 'application/vnd.oci.image';
  const config = json(
    { architecture: 'amd64', os: 'linux', config: { Cmd: ['true'] }, rootfs },
    `${image}.config.v1+json`,
  );
  const manifest = json(
    { schemaVersion: 2, mediaType: `${image}.manifest.v1+json`, config, layers: [layer] },
    `${image}.manifest.v1+json`,
  );
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
}

/** What is run of the program that has the verbs of containers. */
function containerCommands(): string[][] {
  const layout = join(scratch, 'layout');
  makeLayout(layout);
  const policy = join(scratch, 'policy.json');
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  Object.assign(process.env, {
    ATOMIC_VAR_LIB: join(scratch, 'state'),
    ATOMIC_OSTREE_REPO: join(scratch, 'none'),
    ATOMIC_OSTREE_CHECKOUT_PATH: join(scratch, 'system'),
  });
  const name = 'localhost/image:1';
  const scope = process.getuid?.() === 0 ? '--system' : '--user';
  const runs = ['/usr/bin/crun', '/usr/bin/runc', '/usr/sbin/runc'].some((program) => existsSync(program));
  return [
    ['pull', `--policy=${policy}`, `--name=${name}`, `oci:${layout}`],
    ['images', 'list', '--storage=atomic'],
    ...(runs ? [['install', scope, '--display', '--name=warm', name]] : []),
    ['containers', 'list', '--storage=atomic'],
  ];
}

/** What is run of the program for machines: a disk with one deployment is made, as far as this user may. */
function machineCommands(): string[][] {
  const disk = join(scratch, 'disk');
  const host = join(scratch, 'host');
  for (const [name, content] of [
    ['usr/etc/hostname', 'host'],
    ['usr/lib/os-release', 'ID=host\nPRETTY_NAME="Host 1"\n'],
    ['usr/lib/modules/1/vmlinuz', 'kernel'],
    ['usr/lib/modules/1/initramfs.img', 'initramfs'],
  ] as const) {
    mkdirSync(dirname(join(host, name)), { recursive: true });
    writeFileSync(join(host, name), content);
  }
  mkdirSync(disk);
  process.env['OSTREE_SYSROOT_DEBUG'] = 'mutable-deployments';
  const rest = ['host', 'status', `--sysroot=${disk}`];
  if (process.getuid?.() !== 0) return [['ostree', 'admin', 'init-fs', disk], rest];
  return [
    ['ostree', 'admin', 'init-fs', disk],
    ['ostree', 'admin', 'os-init', `--sysroot=${disk}`, 'host'],
    ['ostree', 'commit', `--repo=${disk}/ostree/repo`, '-b', 'host', host],
    ['ostree', 'admin', 'deploy', `--sysroot=${disk}`, '--os=host', '--karg=root=LABEL=root', 'host'],
    rest,
  ];
}

const OSTREE = [
  ['init', `--repo=${repo}`, '--mode=archive'],
  ['init', `--repo=${repo}-2`, '--mode=bare-user'],
  ['commit', `--repo=${repo}`, '-b', 'main', '-s', 'subject', tree],
  ['refs', `--repo=${repo}`],
  ['rev-parse', `--repo=${repo}`, 'main'],
  ['show', `--repo=${repo}`, 'main'],
  ['ls', `--repo=${repo}`, '-R', 'main'],
  ['cat', `--repo=${repo}`, 'main', '/folder/file'],
  ['log', `--repo=${repo}`, 'main'],
  ['remote', 'add', `--repo=${repo}-2`, '--no-gpg-verify', 'origin', `file://${repo}`],
  ['remote', 'list', `--repo=${repo}-2`],
  ['config', `--repo=${repo}`, 'get', 'core.mode'],
  ['summary', `--repo=${repo}`, '-u'],
  ['pull', `--repo=${repo}-2`, 'origin', 'main'],
  ['pull-local', `--repo=${repo}-2`, repo, 'main'],
  ['checkout', `--repo=${repo}-2`, '-U', 'origin:main', join(scratch, 'out')],
  ['fsck', `--repo=${repo}-2`],
  ['prune', `--repo=${repo}-2`, '--refs-only'],
];

const script = new Script(readFileSync(bundle, 'latin1'), {
  filename: bundle,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
const [program = ''] = basename(bundle).split('-');
const COMMANDS: Record<string, () => string[][]> = {
  whole: containerCommands,
  machine: machineCommands,
  ostree: () => OSTREE,
  // It runs one of the others.
  atomic: () => [],
};
const commands = COMMANDS[program]?.() ?? [];
const { exit } = process;
for (const words of commands) {
  // Each run has modules of its own; the functions V8 compiled are the script's.
  const status = await new Promise<unknown>((resolve) => {
    process.argv = [process.execPath, bundle, ...words];
    Object.assign(process, { exit: resolve });
    script.runInThisContext()({}, createRequire(bundle), {}, bundle, dirname(bundle));
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
  if (status !== 0) process.stderr.write(`note: compiling ahead: ${words.join(' ')}: status ${status}\n`);
}
writeFileSync(cache, script.createCachedData());
exit(0);
