import { syscall } from './libc.ts';

// asm/unistd.h of each; glibc has no function of its own for it.
const NUMBER: Partial<Record<NodeJS.Architecture, number>> = { x64: 320, arm64: 294, s390x: 381, riscv64: 294 };
const KEXEC_FILE_NO_INITRAMFS = 4;

const call = syscall(
  'syscall',
  'long syscall(long number, int kernel, int initrd, unsigned long length, const char *arguments, unsigned long flags)',
);

/** kexec_file_load(2): readies a kernel for `systemctl kexec`. `initrd` null: it needs none. */
export function kexecFileLoad(kernel: number, initrd: number | null, commandLine: string): void {
  const number = NUMBER[process.arch];
  if (number === undefined) throw new Error(`kexec_file_load is not known on ${process.arch}`);
  const length = Buffer.byteLength(commandLine) + 1;
  call(
    'kexec_file_load',
    number,
    kernel,
    initrd ?? -1,
    length,
    commandLine,
    initrd === null ? KEXEC_FILE_NO_INITRAMFS : 0,
  );
}
