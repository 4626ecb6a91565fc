import type { MachineArchitecture } from '@atomic/vm';
import type { Command } from 'commander';
import { action, type Context } from './context.ts';

interface RunOptions {
  memory: string;
  cpus: string;
  boot: string;
  serve?: string;
  port: string;
  snapshot?: boolean;
  arch: string;
}

/** Registers `atomic vm run`. */
export function register(program: Command): void {
  const vm = program.command('vm').description('run disk images in a virtual machine');
  vm.command('run')
    .description('boot a disk image and connect this terminal to its serial console')
    .argument('<image>', 'disk image, raw or qcow2')
    .option('--memory <MiB>', 'memory of the machine', '512')
    .option('--cpus <number>', 'processors of the machine', '2')
    .option(
      '--boot <how>',
      "loader: BIOS and the disk's boot loader; uefi: the same by UEFI; direct: the default entry's kernel",
      'loader',
    )
    .option('--arch <name>', 'amd64 or arm64 (which has UEFI alone)', 'amd64')
    .option('--serve <repo>', 'serve a repository to the machine, at http://10.0.2.2:PORT/')
    .option('--port <port>', 'port for --serve', '8480')
    .option('--snapshot', 'leave the image as it is: what the machine writes is gone at the end')
    .addHelpText(
      'after',
      `
QEMU runs by software emulation. On a terminal, Ctrl-] cuts the machine's power; everything else goes to the machine.
Elsewhere, standard input is typed and the console is printed, until the machine powers off.

Examples:
  atomic vm run disk.qcow2
  atomic vm run --snapshot --memory=1024 disk.raw
  atomic vm run --arch=arm64 --memory=1024 arm.qcow2
  atomic vm run --serve=repo --port=8480 disk.qcow2`,
    )
    .action(action(runAction));
}

/** By Debian's and by RPM's names. */
const ARCHITECTURES: Partial<Record<string, MachineArchitecture>> = {
  amd64: 'x64',
  x86_64: 'x64',
  arm64: 'arm64',
  aarch64: 'arm64',
};

const ESCAPE = 0x1d; // Ctrl-]

async function runAction(ctx: Context, image: string, options: RunOptions): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  const { diskFormat, Machine, serveRepo } = await import('@atomic/vm');
  const number = (name: string, text: string, least: number, most: number): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most)
      throw new AtomicError('usage', `--${name} must be a number from ${least} to ${most}, but is '${text}'`);
    return value;
  };
  const { boot } = options;
  if (boot !== 'loader' && boot !== 'uefi' && boot !== 'direct')
    throw new AtomicError('usage', `--boot must be loader, uefi or direct, but is '${boot}'`);
  const architecture = ARCHITECTURES[options.arch];
  if (architecture === undefined)
    throw new AtomicError('usage', `--arch must be amd64 or arm64, but is '${options.arch}'`);
  const memoryMiB = number('memory', options.memory, 64, 1 << 20);
  const cpus = number('cpus', options.cpus, 1, 64);
  const port = number('port', options.port, 0, 65535);
  const format = await diskFormat(image);
  await using server = options.serve === undefined ? null : await serveRepo(options.serve, { port });
  if (server) ctx.warn(`serving ${options.serve} to the machine at http://10.0.2.2:${server.port}/`);

  const started = performance.now();
  // With --json the console goes beside, so that standard output is the JSON alone.
  const screen = ctx.json ? process.stderr : process.stdout;
  await using machine = await Machine.start({
    disk: image,
    format,
    memoryMiB,
    cpus,
    boot,
    architecture,
    snapshot: options.snapshot === true,
    onConsole: (chunk) => void screen.write(chunk),
    signal: ctx.signal,
  });

  const interactive = process.stdin.isTTY === true;
  const type = (chunk: Buffer) => {
    const stop = interactive ? chunk.indexOf(ESCAPE) : -1;
    const text = stop < 0 ? chunk : chunk.subarray(0, stop);
    if (text.length > 0 && machine.console.attached) machine.console.type(text);
    if (stop >= 0) void machine.kill();
  };
  if (interactive) {
    ctx.warn('connected to the serial console; Ctrl-] cuts the power');
    process.stdin.setRawMode(true);
  }
  process.stdin.on('data', type);
  let reason: string;
  let boots = 1;
  try {
    for (;;) {
      reason = await machine.waitExit({ timeoutSeconds: Infinity });
      if (reason !== 'reboot') break;
      await machine.restart();
      boots++;
    }
  } finally {
    process.stdin.off('data', type);
    if (interactive) process.stdin.setRawMode(false);
    process.stdin.pause();
  }
  const seconds = Math.round(performance.now() - started) / 1000;
  const served = server?.stats ?? { requests: 0, bytes: 0 };
  if (ctx.json) ctx.printJson({ image, end: reason, boots, seconds, served });
  else ctx.warn(`\nthe machine ended: ${reason}`);
  return reason === 'crashed' ? 1 : 0;
}
