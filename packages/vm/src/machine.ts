import { type ChildProcess, spawn } from 'node:child_process';
import { constants, existsSync } from 'node:fs';
import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { extractKernel, readBootEntries } from './boot-entries.ts';
import { type CommandResult, type LoginOptions, SerialConsole, type WaitOptions } from './console.ts';
import { capture, findTool, requireTool } from './process.ts';
import { QmpClient } from './qmp.ts';

export type DiskFormat = 'raw' | 'qcow2';

/**
 * `loader`: BIOS firmware and the disk's own boot loader (arm64 has no BIOS: the same as `uefi` there). `uefi`: the same
 * with UEFI firmware (saved states do not work then). `direct`: the kernel the disk's default boot entry names.
 */
export type BootKind = 'loader' | 'uefi' | 'direct';

/** What is emulated, by Node's name. */
export type MachineArchitecture = 'x64' | 'arm64';

interface Emulator {
  program: string;
  debianPackage: string;
  hardware: readonly string[];
  /** The firmware, and an empty store for its variables, as Debian packages them. */
  uefi: { code: string; variables: string; debianPackage: string };
}

const EMULATORS: Record<MachineArchitecture, Emulator> = {
  x64: {
    program: 'qemu-system-x86_64',
    debianPackage: 'qemu-system-x86',
    hardware: ['-machine', 'q35', '-cpu', 'max'],
    uefi: {
      code: '/usr/share/OVMF/OVMF_CODE_4M.fd',
      variables: '/usr/share/OVMF/OVMF_VARS_4M.fd',
      debianPackage: 'ovmf',
    },
  },
  arm64: {
    program: 'qemu-system-aarch64',
    debianPackage: 'qemu-system-arm',
    // Signing pointers as the architecture says it would be most of the emulator's work.
    hardware: ['-machine', 'virt', '-cpu', 'max,pauth-impdef=on'],
    uefi: {
      code: '/usr/share/AAVMF/AAVMF_CODE.fd',
      variables: '/usr/share/AAVMF/AAVMF_VARS.fd',
      debianPackage: 'qemu-efi-aarch64',
    },
  },
};

/** How a machine came to its end. */
export type ExitReason = 'poweroff' | 'reboot' | 'killed' | 'crashed';

export interface MachineOptions {
  /** The disk image. */
  disk: string;
  format: DiskFormat;
  boot: BootKind;
  /** x64 when not said, whatever runs this. */
  architecture?: MachineArchitecture | undefined;
  memoryMiB?: number | undefined;
  cpus?: number | undefined;
  /** Keep the disk as it is: changes go to a temporary file that ends with the machine. */
  snapshot?: boolean | undefined;
  /** Start from a state saved in a qcow2 disk by `saveState`, not from power-on. */
  loadState?: string | undefined;
  /** With `direct`: which boot entry, 0 being the default. */
  entry?: number | undefined;
  /** With `direct`: kernel arguments added for this boot. */
  appendKargs?: string | undefined;
  network?: boolean | undefined;
  /** More arguments for QEMU, such as devices; part of what a saved state was made with. */
  extraArguments?: readonly string[] | undefined;
  /** Writes down here, in the order of their coming, every write to a raw disk and every flush; see `readWriteLog`. */
  writeLog?: string | undefined;
  onConsole?: ((chunk: Buffer) => void) | undefined;
  signal?: AbortSignal | undefined;
}

interface Running {
  child: ChildProcess;
  qmp: QmpClient;
  ended: Promise<ExitReason>;
}

/**
 * One virtual machine in QEMU, by software emulation: /dev/kvm may exist and still not work in a nested
 * machine, and results shall not depend on it.
 *
 * QEMU runs with -no-reboot: a guest's reboot ends it and `restart` begins anew from the disk, so a direct
 * boot reads the boot entries again as a loader would. QEMU dies with this process, however that ends.
 */
export class Machine implements AsyncDisposable {
  readonly console: SerialConsole;
  readonly workDir: string;
  #options: MachineOptions;
  #disk: string;
  #format: DiskFormat;
  #running: Running | undefined;
  #killed = false;
  #abort = () => void this.kill();

  private constructor(options: MachineOptions, workDir: string) {
    this.#options = options;
    this.#disk = resolve(options.disk);
    this.#format = options.format;
    this.workDir = workDir;
    this.console = new SerialConsole(options.onConsole);
  }

  /** Start a machine. Throws AtomicError 'unsupported' when QEMU is missing, 'failed' with QEMU's own words. */
  static async start(options: MachineOptions): Promise<Machine> {
    const { program, debianPackage } = EMULATORS[options.architecture ?? 'x64'];
    requireTool(program, `${debianPackage} qemu-utils`);
    options.signal?.throwIfAborted();
    const machine = new Machine(options, await mkdtemp(join(tmpdir(), 'atomic-vm-')));
    try {
      if (options.snapshot) await machine.#overlay();
      await machine.#start(options.loadState);
      options.signal?.addEventListener('abort', machine.#abort);
      if (options.signal?.aborted) throw options.signal.reason;
      return machine;
    } catch (error) {
      await machine.dispose();
      throw error;
    }
  }

  /** Everything the console printed. */
  get consoleLog(): string {
    return this.console.log;
  }

  get #emulator(): Emulator {
    return EMULATORS[this.#options.architecture ?? 'x64'];
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** QEMU's process id while it runs. */
  get pid(): number | undefined {
    return this.#running?.child.pid;
  }

  waitFor(pattern: RegExp, options?: WaitOptions): Promise<RegExpExecArray> {
    return this.console.waitFor(pattern, { signal: this.#options.signal, ...options });
  }

  type(text: string): void {
    this.console.type(text);
  }

  login(options?: LoginOptions): Promise<void> {
    return this.console.login({ signal: this.#options.signal, ...options });
  }

  run(command: string, options?: WaitOptions): Promise<CommandResult> {
    return this.console.run(command, { signal: this.#options.signal, ...options });
  }

  /** Run a command that has to succeed; its output without the last newline. Throws AtomicError 'failed' else. */
  async check(command: string, options?: WaitOptions): Promise<string> {
    const { code, output } = await this.run(command, options);
    if (code !== 0)
      throw new AtomicError('failed', `in the guest, \`${command}\` ended with ${code}: ${output.trim().slice(-600)}`);
    return output.replace(/\n$/, '');
  }

  /** Send a command to QEMU itself. */
  qmp(command: string, args?: Record<string, unknown>): Promise<unknown> {
    return this.#need().qmp.execute(command, args);
  }

  /** Save memory, devices and disk under a name. Needs a qcow2 disk. */
  async saveState(name: string): Promise<void> {
    await this.#monitor(`savevm ${name}`);
  }

  /** Go back to a saved state: the disk, the memory and the logged-in console of that instant. */
  async loadState(name: string): Promise<void> {
    await this.#monitor(`loadvm ${name}`);
  }

  async #monitor(line: string): Promise<void> {
    const answer = await this.qmp('human-monitor-command', { 'command-line': line });
    if (typeof answer === 'string' && answer.trim() !== '')
      throw new AtomicError('failed', `QEMU cannot ${line}: ${answer.trim()}`);
  }

  /** Cut the power: nothing is flushed, nobody is told. */
  async kill(): Promise<void> {
    const running = this.#running;
    if (!running) return;
    this.#killed = true;
    running.child.kill('SIGKILL');
    await running.ended;
  }

  /** Wait until the machine stops by itself. Throws AtomicError 'failed' when it takes longer (180 s; Infinity waits on). */
  async waitExit(options: WaitOptions = {}): Promise<ExitReason> {
    const running = this.#running;
    if (!running) return 'killed';
    const seconds = options.timeoutSeconds ?? 180;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((done) => {
      if (Number.isFinite(seconds)) timer = setTimeout(() => done(null), seconds * 1000);
    });
    const reason = await Promise.race([running.ended, late]);
    clearTimeout(timer);
    (options.signal ?? this.#options.signal)?.throwIfAborted();
    if (reason === null)
      throw new AtomicError('failed', `the machine did not stop within ${seconds} s`, {
        hint: `the console ended with:\n${this.consoleLog.slice(-1000)}`,
      });
    return reason;
  }

  /** Start again from the disk after the machine stopped. */
  async restart(changes: Pick<MachineOptions, 'boot' | 'entry'> | undefined = undefined): Promise<void> {
    if (this.#running) throw new AtomicError('invalid', 'the machine is still running');
    if (changes) this.#options = { ...this.#options, ...changes };
    await this.#start(undefined);
  }

  /** Have the logged-in guest reboot; returns once it runs again (not yet logged in). */
  async reboot(command = 'systemctl reboot', options: WaitOptions = {}): Promise<void> {
    this.console.start(command);
    const reason = await this.waitExit(options);
    if (reason !== 'reboot') throw new AtomicError('failed', `the guest was to reboot, but: ${reason}`);
    await this.restart();
  }

  /** Have the logged-in guest power off. */
  async powerOff(options: WaitOptions = {}): Promise<void> {
    if (!this.#running) return;
    this.console.start('systemctl poweroff');
    const reason = await this.waitExit(options);
    if (reason !== 'poweroff') throw new AtomicError('failed', `the guest was to power off, but: ${reason}`);
  }

  /** Stop at once and remove the machine's own files. */
  async dispose(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort);
    await this.kill();
    await rm(this.workDir, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #need(): Running {
    if (!this.#running) throw new AtomicError('failed', 'the machine is off');
    return this.#running;
  }

  async #overlay(): Promise<void> {
    const overlay = join(this.workDir, 'overlay.qcow2');
    const args = ['create', '-q', '-f', 'qcow2', '-b', this.#disk, '-F', this.#format, overlay];
    await capture(requireTool('qemu-img', 'qemu-utils'), args);
    this.#disk = overlay;
    this.#format = 'qcow2';
  }

  async #directArguments(): Promise<string[]> {
    const wanted = this.#options.entry ?? 0;
    const { kernel, initrd, options } = await this.withRawDisk(async (raw) => {
      const entry = (await readBootEntries(raw))[wanted];
      if (!entry) throw new AtomicError('not-found', `${this.#options.disk} has no boot entry number ${wanted}`);
      return await extractKernel(raw, entry, this.workDir);
    });
    const append = [options, this.#options.appendKargs ?? ''].join(' ').trim();
    return ['-kernel', kernel, '-initrd', initrd, '-append', append];
  }

  /** What is on the disk now, as a raw image; one made for this is removed afterwards. The machine must be off. */
  async withRawDisk<T>(look: (raw: string) => Promise<T>): Promise<T> {
    if (this.#format === 'raw') return await look(this.#disk);
    const raw = join(this.workDir, 'disk.raw');
    try {
      await capture(requireTool('qemu-img', 'qemu-utils'), ['convert', '-O', 'raw', this.#disk, raw]);
      return await look(raw);
    } finally {
      await rm(raw, { force: true });
    }
  }

  async #firmwareArguments(): Promise<string[]> {
    const variables = join(this.workDir, 'variables.fd');
    const { uefi } = this.#emulator;
    await copyFile(uefi.variables, variables, constants.COPYFILE_EXCL).catch((cause: unknown) => {
      if (existsSync(variables)) return; // of the boot before
      throw new AtomicError('unsupported', 'UEFI firmware is not installed', {
        hint: `apt-get install ${uefi.debianPackage}`,
        cause,
      });
    });
    const flash = 'if=pflash,format=raw';
    return ['-drive', `${flash},readonly=on,file=${uefi.code}`, '-drive', `${flash},file=${variables}`];
  }

  #diskArguments(quote: (path: string) => string): string[] {
    const { writeLog } = this.#options;
    const device = ['-device', 'virtio-blk-pci,drive=disk,bootindex=1,write-cache=on'];
    const file = quote(this.#disk);
    // cache=unsafe: QEMU is killed, the host is not, so what reached the host's cache is on the disk.
    const cache = 'if=none,id=disk,cache=unsafe,discard=unmap';
    if (writeLog === undefined) return ['-drive', `file=${file},format=${this.#format},${cache}`, ...device];
    return [
      ...['-blockdev', `driver=file,node-name=disk-file,filename=${file}`],
      ...['-blockdev', `driver=${this.#format},node-name=disk-image,file=disk-file`],
      ...['-blockdev', `driver=file,node-name=log-file,filename=${quote(writeLog)}`],
      '-blockdev',
      'driver=blklogwrites,node-name=disk,file=disk-image,log=log-file,log-sector-size=512,log-super-update-interval=1024',
      ...device,
    ];
  }

  async #arguments(loadState: string | undefined): Promise<string[]> {
    const { memoryMiB = 512, cpus = 2, network = true, extraArguments = [], boot, architecture } = this.#options;
    // A comma in a file name would end the option: QEMU wants it doubled.
    const quote = (path: string) => path.replaceAll(',', ',,');
    const socket = (id: string) => ['-chardev', `socket,id=${id},path=${quote(join(this.workDir, id))}`];
    return [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
      ...this.#emulator.hardware,
      ...['-accel', 'tcg,thread=multi'],
      ...['-smp', String(cpus), '-m', String(memoryMiB)],
      ...socket('console'),
      ...['-serial', 'chardev:console'],
      ...socket('qmp'),
      ...['-mon', 'chardev=qmp,mode=control'],
      ...['-device', 'virtio-rng-pci'],
      ...this.#diskArguments(quote),
      ...(network ? ['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='] : []),
      ...extraArguments,
      ...(boot === 'uefi' || (boot === 'loader' && architecture === 'arm64') ? await this.#firmwareArguments() : []),
      ...(boot === 'direct' && loadState === undefined ? await this.#directArguments() : []),
      ...(loadState === undefined ? [] : ['-loadvm', loadState]),
    ];
  }

  async #start(loadState: string | undefined): Promise<void> {
    const args = await this.#arguments(loadState);
    // QEMU connects to us, so nothing it says is lost and nothing has to be polled.
    const consoleServer = await listen(join(this.workDir, 'console'));
    const qmpServer = await listen(join(this.workDir, 'qmp'));
    const { program, debianPackage } = this.#emulator;
    const qemu = requireTool(program, `${debianPackage} qemu-utils`);
    // The kernel kills QEMU when this process dies, even by SIGKILL.
    const setpriv = findTool('setpriv');
    const child = setpriv
      ? spawn(setpriv, ['--pdeathsig', 'KILL', qemu, ...args], { stdio: ['ignore', 'ignore', 'pipe'], detached: true })
      : spawn(qemu, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    let errors = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-2000);
    });
    this.#killed = false;
    const exited = new Promise<void>((done) => {
      child.once('close', () => done());
      child.once('error', (error) => {
        errors += error.message;
        done();
      });
    });
    try {
      const failed = exited.then(() => {
        throw new AtomicError('failed', `QEMU did not start: ${errors.trim() || 'it ended at once'}`);
      });
      const [consoleSocket, qmpSocket] = await Promise.race([
        Promise.all([consoleServer.connection, qmpServer.connection]),
        failed,
      ]);
      failed.catch(() => undefined);
      const qmp = new QmpClient(qmpSocket);
      const closed = new Promise<void>((done) => qmpSocket.once('close', () => done()));
      this.console.attach(consoleSocket);
      const ended = Promise.all([exited, closed]).then((): ExitReason => {
        this.#running = undefined;
        if (this.#killed) return 'killed';
        const reason = qmp.events.findLast((event) => event.name === 'SHUTDOWN')?.data['reason'];
        return reason === 'guest-shutdown' ? 'poweroff' : reason === 'guest-reset' ? 'reboot' : 'crashed';
      });
      this.#running = { child, qmp, ended };
      await qmp.execute('qmp_capabilities');
    } catch (error) {
      // It may have connected and then failed, over its disk for example: its own words say more than ours.
      child.kill('SIGKILL');
      await exited;
      this.#running = undefined;
      if (errors.trim() !== '') throw new AtomicError('failed', `QEMU did not start: ${errors.trim()}`);
      throw error;
    } finally {
      consoleServer.server.close();
      qmpServer.server.close();
    }
  }
}

/** Listen on a socket for one connection. */
async function listen(path: string): Promise<{ server: Server; connection: Promise<Socket> }> {
  await rm(path, { force: true });
  const server = createServer();
  const connection = new Promise<Socket>((done) => server.once('connection', done));
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(path, done);
  });
  return { server, connection };
}

/** The format of a disk image, by its first bytes. */
export async function diskFormat(path: string): Promise<DiskFormat> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new AtomicError('not-found', `there is no disk image at ${path}`, { cause });
  });
  try {
    const magic = Buffer.alloc(4);
    await file.read(magic, 0, 4, 0);
    return magic.equals(Buffer.from('QFI\xfb', 'latin1')) ? 'qcow2' : 'raw';
  } finally {
    await file.close();
  }
}
