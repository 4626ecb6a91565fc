#!/bin/sh
# Makes a fresh Debian 12 machine ready: Debian packages, then the locked npm packages (the Node runtime among them),
# and at last build/bin, the form of our programs that starts fastest. Does nothing, fast, when all is there. Only the
# first part needs root, and only when something is missing.
set -eu
cd "$(dirname "$0")/.."

# What for: qemu (machines), ostree (the stock tool we compare with, and its tests' boot pieces come inside trees),
# mmdebstrap + keyring (a tree's root), grub/dosfstools/mtools/fdisk/e2fsprogs (disk images), systemd-boot-efi and of
# refind the ext4 driver (images with systemd-boot), cpio/zstd (initramfs and packages), attr/libcap2-bin/
# python3-minimal/strace (fixtures of tests), bubblewrap (sandbox), ostree-tests and what its scripts use (gnupg …
# bsdextrautils), umoci and buildah (layers they write and read),
# dpkg-dev and apt-utils (repositories that tests make), erofs-utils and squashfs-tools (extension images), rpm,
# createrepo-c and dnf (trees of RPMs, and the packages they are made of), docker.io, podman with crun, docker-registry
# and busybox-static (engines, a registry, and images made without network), runc and apparmor (system containers),
# libsodium23 (keys in the form of cosign).
packages='qemu-system-x86 qemu-utils ostree mmdebstrap debian-archive-keyring grub-pc-bin grub-efi-amd64-bin ovmf
grub-common systemd-boot-efi refind dosfstools mtools fdisk e2fsprogs cpio zstd attr libcap2-bin python3-minimal strace
bubblewrap ca-certificates ostree-tests gnupg python3-yaml parallel openssl sudo bsdextrautils
umoci skopeo xorriso buildah dpkg-dev apt-utils erofs-utils squashfs-tools rpm createrepo-c dnf
docker.io podman crun runc apparmor docker-registry busybox-static libsodium23'

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

missing=
if command -v dpkg-query > /dev/null; then
  for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing="$missing $package"
  done
  command -v npm > /dev/null || missing="$missing nodejs npm"
else
  echo "note: not a Debian machine; install the equivalents of: $packages" >&2
fi
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    printf 'error: Debian packages are missing:%s\n' "$missing" >&2
    echo "  hint: installing them needs root; run: sudo make setup" >&2
    exit 1
  fi
  say "installing Debian packages:$missing"
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  export DEBIAN_FRONTEND=noninteractive
  # Or it would make itself this machine's boot loader.
  case $missing in *refind*) echo 'refind refind/install_to_esp boolean false' | debconf-set-selections ;; esac
  # shellcheck disable=SC2086 # a list of words
  if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } > "$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install:$missing"
  fi
fi

stamp=node_modules/.atomic-setup
want=$(cat package-lock.json .npmrc | sha256sum)
if [ "$(cat "$stamp" 2> /dev/null || true)" != "$want" ] || [ ! -x node_modules/.bin/node ]; then
  say "installing npm packages from the lock file (npm $(npm --version))"
  # The engine check would only tell that the machine's Node is old; nothing of ours runs on it.
  npm ci --no-audit --no-fund --loglevel=error || fail 'npm ci failed; is the npm registry reachable?'
  # The npm of Debian 12 does not link the runtime, because the one for another processor claims the same name.
  case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
  [ -x node_modules/.bin/node ] || ln -sf "../node-linux-$arch/bin/node" node_modules/.bin/node
  [ -x node_modules/.bin/node ] || fail 'the locked Node runtime is not there: no package for this processor?'
  printf '%s\n' "$want" > "$stamp"
fi

if [ ! -f build/bin/atomic.cjs ] || [ -n "$(find packages tools package-lock.json -newer build/bin/atomic.cjs -type f -print -quit)" ]; then
  node_modules/.bin/node --disable-warning=ExperimentalWarning tools/build.ts > /dev/null || fail 'building build/bin failed'
fi
