// Treefiles of the test distribution, in a folder with the *.repo file they need.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Distribution, RELEASEVER, repoFile } from './distribution.ts';

const ROOT = join(import.meta.dirname, '../..');

const minimal = (version: string, repos: string): string => `# What examples/debian-minimal.yaml is, of RPMs.
include: login.yaml
ref: test/${RELEASEVER}/\${basearch}/minimal
repos: [${repos}]
releasever: "${RELEASEVER}"
recommends: false
documentation: false
packages:
  - "@core"
  - "@network"
  - kernel systemd-resolved
exclude-packages: [tree]
units: [systemd-networkd.service, systemd-resolved.service]
mask-units: [systemd-firstboot.service, systemd-networkd-wait-online.service, e2scrub_all.timer, e2scrub_reap.service]
default-target: multi-user.target
hostname: rpm-atomic
add-files: [[50-dhcp.network, /etc/systemd/network/50-dhcp.network]]
kernel-arguments: [rw, quiet, "console=tty0", "console=ttyS0,115200", systemd.gpt_auto=0]
version: "${version}"
timestamp: 2026-01-0${version}T00:00:00Z
postprocess:
  - mkdir -p /usr/share/demo && echo ${version} > /usr/share/demo/version
`;

export interface TreeOptions {
  version?: string;
  /** with the newer packages */
  updates?: boolean;
  /** packages beyond the minimal tree's */
  packages?: readonly string[];
}

/** Writes a treefile of the distribution to `folder`; its path. */
export function writeTree(folder: string, distribution: Distribution, options: TreeOptions = {}): string {
  const { version = '1', updates = false, packages = [] } = options;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'test.repo'), repoFile(distribution, { updates: true }));
  cpSync(join(ROOT, 'examples/demo/login.yaml'), join(folder, 'login.yaml'));
  cpSync(join(ROOT, 'examples/files/50-dhcp.network'), join(folder, '50-dhcp.network'));
  const path = join(folder, `minimal-${version}.yaml`);
  const extra = packages.map((name) => `  - ${name}\n`).join('');
  const text = minimal(version, updates ? 'base, updates' : 'base');
  writeFileSync(path, text.replace('exclude-packages', `${extra}exclude-packages`));
  return path;
}
