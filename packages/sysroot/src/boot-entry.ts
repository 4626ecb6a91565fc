import { existsSync, readFileSync } from 'node:fs';
import { BlsEntry } from './bootloader/bls.ts';
import type { Deployment } from './deployment.ts';
import { formatKargs, replaceKarg } from './kargs.ts';
import type { KernelLayout } from './kernel.ts';
import { formatBootLink } from './layout.ts';
import { OVERLAYS } from './overlay-initrd.ts';
import type { Sysroot } from './sysroot.ts';

/** PRETTY_NAME, or ID, of a tree (os-release(5)). */
function osTitle(tree: string, fallback: string): string {
  const path = [`${tree}/usr/lib/os-release`, `${tree}/etc/os-release`].find((candidate) => existsSync(candidate));
  if (path === undefined) return fallback;
  const fields = new Map<string, string>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const match = /^([A-Z_0-9]+)=(.*)$/.exec(line.trim());
    if (match?.[1] === undefined) continue;
    const raw = match[2] ?? '';
    const quoted = /^"(.*)"$|^'(.*)'$/.exec(raw);
    fields.set(match[1], (quoted?.[1] ?? quoted?.[2] ?? raw).replace(/\\(["$`\\])/g, '$1'));
  }
  return fields.get('PRETTY_NAME') ?? fields.get('ID') ?? fallback;
}

/** Keys that are made anew with each entry; those of other tools stay. */
const OWN_KEYS = ['title', 'version', 'options', 'devicetree', 'linux', 'initrd', 'fdtdir', 'aboot', 'abootcfg'];

const isPrepareRoot = (karg: string) => /^init=\/ostree\/boot\.[01]\/.*\/ostree-prepare-root$/.test(karg);

/** The boot entry of a deployment at its place among `count` (install_deployment_kernel in ostree-sysroot-deploy.c). */
export function makeEntry(
  sysroot: Sysroot,
  deployment: Deployment,
  kernel: KernelLayout,
  options: { bootVersion: 0 | 1; count: number; showOs: boolean },
): BlsEntry {
  const { bootPrefix, blsAppendExceptDefault } = sysroot.config;
  const { bootVersion, count, showOs } = options;
  const { os, bootChecksum, bootSerial, index, version } = deployment;
  const name = osTitle(sysroot.layout.deployment(deployment), os);
  // The shape that libostree's syslinux backend looks for: "(ostree:".
  const shownVersion = version !== undefined && version !== '' && !name.includes(version) ? ` ${version}` : '';
  const prefix = bootPrefix ? '/boot' : '';
  const folder = `${prefix}/ostree/${os}-${bootChecksum}`;
  const link = formatBootLink({ bootVersion, os, bootChecksum, bootSerial });
  let kargs = deployment.commandLine.filter((karg) => !isPrepareRoot(karg));
  // Without an initramfs the kernel starts ostree's own first program, in the deployment.
  if (kernel.initramfs === null) kargs = replaceKarg(kargs, `init=${link}/usr/lib/ostree/ostree-prepare-root`);
  kargs = replaceKarg(kargs, `ostree=${link}`);
  const appended = new Set(blsAppendExceptDefault.map(([key]) => key));
  const entry = deployment.entry?.filter((key) => !OWN_KEYS.includes(key) && !appended.has(key)) ?? new BlsEntry();
  entry
    .set('title', `${name}${shownVersion} (ostree:${showOs ? `${os}:` : ''}${index})`)
    .set('version', String(count - index))
    .set('linux', `${folder}/${kernel.kernel.name}`);
  if (kernel.initramfs !== null) {
    entry.add('initrd', `${folder}/${kernel.initramfs.name}`);
    for (const checksum of deployment.overlayInitrds) entry.add('initrd', `${prefix}/${OVERLAYS}/${checksum}.img`);
  }
  if (kernel.aboot !== null) {
    entry.set('aboot', `/ostree/${os}-${bootChecksum}/${kernel.aboot.name}`);
    entry.set('abootcfg', `/${deployment.path}/usr/lib/ostree-boot/aboot.cfg`);
  }
  if (kernel.devicetree !== null) entry.set('devicetree', `${folder}/${kernel.devicetree.name}`);
  else if (kernel.devicetrees !== null) entry.set('fdtdir', `${folder}/${kernel.devicetrees.name}`);
  entry.set('options', formatKargs(kargs));
  if (index > 0) for (const [key, value] of blsAppendExceptDefault) entry.set(key, value);
  return entry;
}
