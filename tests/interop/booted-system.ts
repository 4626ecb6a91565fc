import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path, { join } from 'node:path';
import { commitTree, stringVariant, type Variant } from '@atomic/ostree';
import { createStateroot, createSysroot, type Deployment, deploy, makeOrigin, Sysroot } from '@atomic/sysroot';

const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const missing = ['bwrap', 'unshare', 'mount'].filter((tool) => !has(tool));
const probe = ['--cap-add', 'ALL', '--bind', '/', '/', '--dev', '/dev', 'true'];

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  if (missing.length > 0) return `needs ${missing.join(', ')}`;
  return spawnSync('bwrap', probe).status === 0 ? false : 'bwrap makes no sandboxes here';
}

/** Why there can be no such system here, or false. */
export const skip = whyNot();

const checkout = path.join(import.meta.dirname, '../..');

/**
 * A running system, as far as a sandbox can be one: its root is a deployment, /sysroot and /boot are its disk, and /run
 * says that ostree booted it. systemd's commands are scripts that write down in /run/systemctl.log what they are asked.
 */
export class BootedSystem {
  readonly root: string;
  readonly sysroot: Sysroot;
  readonly #scratch: string;
  readonly #tools: string;
  booted: Deployment | undefined;
  #serial = 0;

  private constructor(scratch: string) {
    this.#scratch = scratch;
    this.root = join(scratch, 'disk');
    this.#tools = join(scratch, 'tools');
    for (const folder of [this.root, this.#tools]) mkdirSync(folder, { recursive: true });
    for (const name of ['systemctl', 'systemd-run', 'systemd-sysusers', 'systemd-tmpfiles'])
      this.#tool(name, `echo "${name === 'systemctl' ? '' : `${name} `}$*" >> /run/systemctl.log`);
    for (const name of ['ostree', 'atomic']) this.#tool(name, `exec ${checkout}/bin/${name} "$@"`);
    createSysroot(this.root, { epoch: 1 });
    this.sysroot = Sysroot.open(this.root, { mutableDeployments: true, run: join(scratch, 'no-run') });
    createStateroot(this.sysroot, 'os');
  }

  /** Makes one in an empty folder: version 1 (with `more` files) is booted, version 2 is in its repository. */
  static async make(scratch: string, more: Record<string, string> = {}): Promise<BootedSystem> {
    const system = new BootedSystem(scratch);
    const rev = await system.commit('1', more);
    system.booted = await deploy(system.sysroot, { os: 'os', rev, origin: makeOrigin('os'), kargs: ['quiet'] });
    await system.commit('2');
    return system;
  }

  #tool(name: string, script: string): void {
    writeFileSync(join(this.#tools, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(this.#tools, name), 0o755);
  }

  /** Commits a tree of this version to the branch `os`, with more files in it and more said of it. */
  async commit(
    version: string,
    more: Record<string, string> = {},
    metadata: Iterable<[string, Variant]> = [],
  ): Promise<string> {
    const tree = join(this.#scratch, `tree-${++this.#serial}`);
    for (const name of ['host', 'proc', 'dev', 'run', 'tmp', 'var', 'sysroot', 'boot', 'tools', 'usr/etc', 'usr/bin'])
      mkdirSync(join(tree, name), { recursive: true });
    // The programs of the host, so that /usr is the deployment's own.
    for (const name of ['lib', 'lib64', 'bin', 'sbin']) symlinkSync(`host/${name}`, join(tree, name));
    symlinkSync('sysroot/ostree', join(tree, 'ostree'));
    mkdirSync(join(tree, checkout), { recursive: true });
    const files = {
      'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
      'usr/lib/modules/6.1/vmlinuz': 'kernel',
      'usr/lib/modules/6.1/initramfs.img': 'initramfs',
      'usr/share-version': version,
      'usr/etc/conf': `default ${version}`,
      ...more,
    };
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(path.dirname(join(tree, file)), { recursive: true });
      writeFileSync(join(tree, file), text);
    }
    const made = await commitTree(this.sysroot.repo, {
      trees: [{ dir: tree }],
      branch: 'os',
      timestamp: 1_700_000_000 + Number(version),
      metadata: new Map([['version', stringVariant(version)], ...metadata]),
    });
    return made.commit;
  }

  /** Where a deployment lies, seen from outside. */
  tree(deployment: Pick<Deployment, 'os' | 'checksum' | 'serial'> | undefined = this.booted): string {
    assert.ok(deployment);
    return this.sysroot.layout.deployment(deployment);
  }

  /** Runs lines of a shell in the running system; what they print, and fails with the script when one does. */
  inside(script: string, options: { readOnly?: boolean } = {}): string {
    const { root } = this;
    const disk = options.readOnly === true ? '--ro-bind' : '--bind';
    const args = [
      ...['--cap-add', 'ALL', '--unshare-pid', '--as-pid-1', '--bind', this.tree(), '/', '--ro-bind', '/usr', '/host'],
      ...[disk, root, '/sysroot', disk, join(root, 'boot'), '/boot', '--bind', `${root}/ostree/deploy/os/var`, '/var'],
      ...['--proc', '/proc', '--dev', '/dev', '--tmpfs', '/run', '--tmpfs', '/tmp', '--ro-bind', this.#tools, '/tools'],
      ...['--ro-bind', checkout, checkout, '--clearenv', '--setenv', 'PATH', '/tools:/host/bin:/host/sbin'],
      ...['--setenv', 'OSTREE_SYSROOT_DEBUG', 'mutable-deployments', '--setenv', 'LC_ALL', 'C.UTF-8'],
      ...['/bin/sh', '-ec', `touch /run/ostree-booted\n${script}`],
    ];
    const result = spawnSync('bwrap', args, { encoding: 'utf8' });
    assert.equal(result.status, 0, `${script}\n${result.stdout}\n${result.stderr}`);
    return result.stdout;
  }
}
