import { closeSync, constants, existsSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { errnoCode, setImmutable, withFd } from '@atomic/linux';

/** The vendor GUID of the Boot Loader Interface (systemd.io/BOOT_LOADER_INTERFACE). */
const VENDOR = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';

/** Kept over reboots, for firmware's and the system's use (UEFI: NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS). */
const ATTRIBUTES = 7;

/**
 * The variables by which a boot loader and the running system talk (efivarfs): a file a variable, four bytes of
 * attributes before its value. Each change is one write, which the firmware does or does not do.
 */
export class LoaderVariables {
  readonly #folder: string;

  /** `root` is the running system's. */
  constructor(root: string) {
    this.#folder = `${root === '/' ? '' : root}/sys/firmware/efi/efivars`;
  }

  #path(name: string): string {
    return `${this.#folder}/${name}-${VENDOR}`;
  }

  /** A variable that holds text; null when there is none, or no UEFI. */
  get(name: string): string | null {
    try {
      const bytes = readFileSync(this.#path(name));
      return bytes.subarray(4).toString('utf16le').replace(/\0+$/, '');
    } catch (error) {
      const code = errnoCode(error) ?? '';
      if (['ENOENT', 'ENOTDIR', 'EIO', 'EACCES', 'EPERM'].includes(code)) return null;
      throw error;
    }
  }

  /** Throws what the system says (EROFS, ENOSPC, EINVAL) when the firmware does not take it. */
  set(name: string, value: string): void {
    this.#unseal(name);
    const attributes = Buffer.alloc(4);
    attributes.writeUInt32LE(ATTRIBUTES);
    const content = Buffer.concat([attributes, Buffer.from(`${value}\0`, 'utf16le')]);
    const fd = openSync(this.#path(name), constants.O_WRONLY | constants.O_CREAT, 0o644);
    try {
      writeSync(fd, content);
    } finally {
      closeSync(fd);
    }
  }

  remove(name: string): void {
    this.#unseal(name);
    rmSync(this.#path(name), { force: true });
  }

  /** The kernel makes these files immutable, so that no `rm -r` breaks a firmware. */
  #unseal(name: string): void {
    const path = this.#path(name);
    if (existsSync(path)) withFd(path, (fd) => setImmutable(fd, false));
  }
}
