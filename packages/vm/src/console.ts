import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { AtomicError } from '@atomic/ostree';

export interface WaitOptions {
  timeoutSeconds?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface LoginOptions extends WaitOptions {
  user?: string | undefined;
  password?: string | undefined;
}

export interface CommandResult {
  code: number;
  output: string;
}

/** The tty's line discipline keeps 4096 bytes of a line; stay well below. */
const LINE_LIMIT = 1000;
const CHUNK = 700;

/** Quote for a POSIX shell. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * The guest's serial console: everything it printed, and a way to type.
 *
 * Nothing in the guest helps: `login` answers getty's prompts as a person would, then
 * turns the session into a plain shell without echo or prompt, and `run` frames each
 * command's output between markers that the typed line does not contain.
 */
export class SerialConsole {
  #socket: Socket | undefined;
  #text = '';
  #cursor = 0;
  #changed = new Set<() => void>();
  #listener: ((chunk: Buffer) => void) | undefined;
  #token = `at-${randomBytes(4).toString('hex')}`;
  #count = 0;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(listener?: (chunk: Buffer) => void) {
    this.#listener = listener;
  }

  /** All that was printed since the machine was made, across its restarts. */
  get log(): string {
    return this.#text;
  }

  get attached(): boolean {
    return this.#socket !== undefined;
  }

  /** Take over the connection of a QEMU just started. */
  attach(socket: Socket): void {
    const decoder = new StringDecoder('utf8');
    this.#socket = socket;
    this.#cursor = this.#text.length;
    socket.on('data', (chunk: Buffer) => {
      this.#text += decoder.write(chunk).replaceAll('\r\n', '\n');
      this.#listener?.(chunk);
      this.#notify();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      this.#notify();
    });
  }

  /** Type text, as is: end a line with `\r`. */
  type(text: string | Uint8Array): void {
    if (!this.#socket) throw new AtomicError('failed', 'cannot type on the console: the machine is off');
    this.#socket.write(text);
  }

  /**
   * Wait until the console shows `pattern` after what earlier calls matched; the match is then consumed.
   * Throws AtomicError 'failed' with the last lines shown when the time is over or the machine stops.
   */
  async waitFor(pattern: RegExp, options: WaitOptions = {}): Promise<RegExpExecArray> {
    const seconds = options.timeoutSeconds ?? 120;
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      options.signal?.throwIfAborted();
      const match = pattern.exec(this.#text.slice(this.#cursor));
      if (match) {
        this.#cursor += match.index + match[0].length;
        return match;
      }
      const left = deadline - Date.now();
      if (!this.#socket) throw this.#failure(`the machine stopped before its console showed ${pattern}`);
      if (left <= 0) throw this.#failure(`the console did not show ${pattern} within ${seconds} s`);
      await this.#change(left, options.signal);
    }
  }

  /**
   * Log in at getty's prompt and prepare the shell for `run`. User `root` and no password by default.
   * Throws AtomicError 'permission' when the guest refuses the password, 'failed' when no prompt comes.
   */
  async login(options: LoginOptions = {}): Promise<void> {
    const { user = 'root', signal } = options;
    const deadline = Date.now() + (options.timeoutSeconds ?? 240) * 1000;
    const left = () => ({ timeoutSeconds: Math.max(1, (deadline - Date.now()) / 1000), signal });
    await this.waitFor(/\blogin: /, left());
    this.type(`${user}\r`);
    const asked = await this.waitFor(/[Pp]assword: |[#$] $/, left());
    if (asked[0].toLowerCase().startsWith('password')) {
      this.type(`${options.password ?? ''}\r`);
      const answer = await this.waitFor(/Login incorrect|[#$] (\u001b\[[?0-9;]*[a-zA-Z])*$/, left());
      if (answer[0].startsWith('Login'))
        throw new AtomicError('permission', `the guest refused the password of ${user}`);
    }
    // A message of the day may look like a prompt, and the shell flushes what came too early: so ask again.
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#prepareShell({ timeoutSeconds: 15, signal });
        return;
      } catch (error) {
        signal?.throwIfAborted();
        if (attempt >= 3 || Date.now() > deadline || !this.#socket) throw error;
      }
    }
  }

  async #prepareShell(options: WaitOptions): Promise<void> {
    const tag = `${this.#token}-ready-${++this.#count}`;
    this.type('\r');
    this.type(`exec env TERM=dumb PS1= PS2= HISTFILE= sh\r`);
    await sleep(300, undefined, { signal: options.signal });
    this.type(`PS1= PS2=; stty -echo -onlcr 2>/dev/null; dmesg -n 1 2>/dev/null; exec 4>&1\r`);
    // _r TAG COMMAND: status on fd 3 into a variable, output through cat, so that the command sees no terminal.
    this.type(
      `_r() { printf '\\n%s%s\\n' "<$1" '>'; _c=$( { { sh -c "$2" </dev/null 2>&1 3>&- 4>&-; echo $? >&3; } | cat >&4; } 3>&1 ); printf '%s%s%s\\n' "</$1:" "$_c" '>'; }\r`,
    );
    this.type(`printf '%s%s\\n' ${shellQuote(tag.slice(0, 5))} ${shellQuote(tag.slice(5))}\r`);
    await this.waitFor(new RegExp(`(?:^|\\n)${tag}\\n`), options);
  }

  /**
   * Run a shell command in the logged-in session; standard input is empty, both outputs come back together.
   * Commands wait for each other. Throws AtomicError 'failed' when it takes longer than `timeoutSeconds` (300).
   */
  run(command: string, options: WaitOptions = {}): Promise<CommandResult> {
    const mine = this.#busy.then(() => this.#run(command, options));
    this.#busy = mine.catch(() => undefined);
    return mine;
  }

  /** Start a command and do not wait for it: for commands that end the machine, or that are about to be cut off. */
  start(command: string): void {
    this.#send(command, `${this.#token}-${++this.#count}`);
  }

  async #run(command: string, options: WaitOptions): Promise<CommandResult> {
    const tag = `${this.#token}-${++this.#count}`;
    const seconds = options.timeoutSeconds ?? 300;
    this.#send(command, tag);
    const end = new RegExp(`<${tag}>\\n([^]*?)</${tag}:(\\d*)>\\n`);
    const match = await this.waitFor(end, { timeoutSeconds: seconds, signal: options.signal });
    return { code: Number(match[2] === '' ? 255 : match[2]), output: match[1] ?? '' };
  }

  #send(command: string, tag: string): void {
    const plain = `_r ${tag} ${shellQuote(command)}`;
    if (plain.length <= LINE_LIMIT && /^[\x20-\x7e]*$/.test(plain)) {
      this.type(`${plain}\r`);
      return;
    }
    const encoded = Buffer.from(command).toString('base64');
    this.type('_b=\r');
    for (let at = 0; at < encoded.length; at += CHUNK) this.type(`_b=\${_b}${encoded.slice(at, at + CHUNK)}\r`);
    this.type(`_r ${tag} "$(printf %s "$_b" | base64 -d)"\r`);
  }

  #failure(message: string): AtomicError {
    const last = this.#text.slice(-1500).split('\n').slice(-12).join('\n').trimEnd();
    return new AtomicError('failed', message, { hint: `the console ended with:\n${last}` });
  }

  #notify(): void {
    const waiting = [...this.#changed];
    this.#changed.clear();
    for (const wake of waiting) wake();
  }

  #change(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        this.#changed.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, milliseconds);
      signal?.addEventListener('abort', wake);
      this.#changed.add(wake);
    });
  }
}
