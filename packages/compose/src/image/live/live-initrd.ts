import type { Repo } from '@atomic/ostree';
import { type CpioEntry, cpioArchive } from './cpio.ts';
import { kernelModules } from './kernel-modules.ts';

/** What `root=` is in a live system: nothing that systemd or dracut would look for themselves. */
export const LIVE_ROOT = 'root=atomic:live';
/** The kernel argument with the label of the medium that has the root image; without it, an initramfs has it. */
export const MEDIUM_KARG = 'atomic.medium';
/** Where the root image is, in an initramfs and on a medium. */
export const ROOT_IMAGE = 'root.squashfs';
export const MEDIUM_LABEL = 'live/label';
export const MEDIUM_ROOT_IMAGE = `live/${ROOT_IMAGE}`;
/** Where a live system finds its medium. */
export const MEDIUM_FOLDER = '/run/atomic/medium';

const FOLDER = 'usr/lib/atomic-live';
const MODULES = {
  required: ['loop', 'squashfs', 'overlay'],
  // Where a medium may be: drives of virtual machines, and SATA, IDE and USB ones.
  optional:
    'isofs sr_mod sd_mod virtio_blk virtio_scsi ahci ata_piix ata_generic usb_storage uas xhci_pci ehci_pci nls_utf8'.split(
      ' ',
    ),
};

const SCRIPT = `#!/bin/bash
# Makes the root of a live system: a read-only image, and memory for all that is written.
set -eu
while read -r module; do insmod "/${FOLDER}/modules/$module" 2> /dev/null || true; done < /${FOLDER}/order
image=/${ROOT_IMAGE}
medium=
for word in $(< /proc/cmdline); do
  case $word in ${MEDIUM_KARG}=*) medium=\${word#*=} ;; esac
done
if [ -n "$medium" ]; then
  mkdir -p ${MEDIUM_FOLDER}
  # Not by its label alone: for other machines' sake, partitions of a medium may have it too.
  find_medium() {
    for path in /sys/class/block/*; do
      device=/dev/\${path##*/}
      case $device in /dev/loop* | /dev/ram*) continue ;; esac
      mount -t iso9660 -o ro "$device" ${MEDIUM_FOLDER} 2> /dev/null || continue
      [ "$(< ${MEDIUM_FOLDER}/${MEDIUM_LABEL})" = "$medium" ] && return
      umount ${MEDIUM_FOLDER}
    done 2> /dev/null
    return 1
  }
  for ((i = 0; ; i++)); do
    find_medium && break
    [ "$i" -lt 300 ] || { echo "no medium $medium"; exit 1; }
    sleep 0.2
  done
  image=${MEDIUM_FOLDER}/${MEDIUM_ROOT_IMAGE}
fi
mkdir -p /run/atomic/root /run/atomic/memory
mount -t squashfs -o ro,loop "$image" /run/atomic/root
mount -t tmpfs -o mode=0755,size=75% tmpfs /run/atomic/memory
mkdir /run/atomic/memory/upper /run/atomic/memory/work
`;

const SERVICE = `[Unit]
Description=Root image of the live system
DefaultDependencies=no
After=systemd-udevd.service dracut-pre-mount.service
Before=sysroot.mount initrd-root-fs.target
OnFailure=emergency.target
OnFailureJobMode=replace-irreversibly

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/${FOLDER}/mount
StandardOutput=journal+console
StandardError=journal+console
`;

const MOUNT = `[Unit]
Description=Root of the live system
DefaultDependencies=no
Requires=atomic-live.service
After=atomic-live.service
Before=initrd-root-fs.target

[Mount]
What=overlay
Where=/sysroot
Type=overlay
Options=lowerdir=/run/atomic/root,upperdir=/run/atomic/memory/upper,workdir=/run/atomic/memory/work,index=off,redirect_dir=on,metacopy=off
`;

// dracut stops at a root= that none of its hooks says it knows.
const HOOK = `[ "$root" = "${LIVE_ROOT.slice('root='.length)}" ] && rootok=1\n`;

/**
 * An archive that makes an ostree initramfs (dracut with systemd) start a live system, when it comes after that one:
 * uncompressed, as the kernel takes archives in a row however each is packed.
 */
export function liveInitrd(repo: Repo, commit: string, kernel: string): Buffer {
  const modules = kernelModules(repo, commit, kernel, MODULES);
  const units = 'etc/systemd/system';
  const files: CpioEntry[] = [
    { path: `${FOLDER}/mount`, kind: 'file', mode: 0o755, content: Buffer.from(SCRIPT) },
    { path: `${FOLDER}/order`, kind: 'file', content: Buffer.from(modules.map(({ name }) => `${name}\n`).join('')) },
    ...modules.map(({ name, content }): CpioEntry => ({ path: `${FOLDER}/modules/${name}`, kind: 'file', content })),
    { path: 'usr/lib/dracut/hooks/cmdline/99-atomic-live.sh', kind: 'file', mode: 0o755, content: Buffer.from(HOOK) },
    { path: `${units}/atomic-live.service`, kind: 'file', content: Buffer.from(SERVICE) },
    { path: `${units}/sysroot.mount`, kind: 'file', content: Buffer.from(MOUNT) },
    { path: `${units}/initrd-root-fs.target.requires/sysroot.mount`, kind: 'symlink', target: '../sysroot.mount' },
  ];
  const folders = new Set<string>();
  for (const { path } of files) {
    const names = path.split('/');
    for (let i = 1; i < names.length; i++) folders.add(names.slice(0, i).join('/'));
  }
  return cpioArchive([...[...folders].map((path): CpioEntry => ({ path, kind: 'directory' })), ...files]);
}
