import type { Socket } from 'node:net';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

const Message = z.object({
  QMP: z.unknown().optional(),
  event: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
  return: z.unknown().optional(),
  error: z.object({ class: z.string(), desc: z.string() }).optional(),
  id: z.number().optional(),
});

/** An event of QEMU, such as SHUTDOWN with its reason. */
export interface QmpEvent {
  name: string;
  data: Record<string, unknown>;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * QEMU's machine protocol on one connection: a line of JSON a message, an answer a command.
 * Format: QEMU's docs/interop/qmp-spec.
 */
export class QmpClient {
  readonly events: QmpEvent[] = [];
  #socket: Socket;
  #buffer = '';
  #next = 1;
  #pending = new Map<number, Pending>();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => this.#receive(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      for (const waiting of this.#pending.values())
        waiting.reject(new AtomicError('failed', 'QEMU ended before it answered'));
      this.#pending.clear();
    });
  }

  /** Send a command and wait for its answer. Throws AtomicError when QEMU refuses it or ends. */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new AtomicError('failed', `cannot send ${command}: QEMU has ended`));
        return;
      }
      this.#pending.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) })}\n`);
    });
  }

  #receive(chunk: string): void {
    this.#buffer += chunk;
    for (;;) {
      const end = this.#buffer.indexOf('\n');
      if (end < 0) return;
      const line = this.#buffer.slice(0, end).trim();
      this.#buffer = this.#buffer.slice(end + 1);
      if (line !== '') this.#dispatch(Message.parse(JSON.parse(line)));
    }
  }

  #dispatch(message: z.infer<typeof Message>): void {
    if (message.event !== undefined) {
      this.events.push({ name: message.event, data: message.data ?? {} });
      return;
    }
    const waiting = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (message.id === undefined || waiting === undefined) return; // the greeting
    this.#pending.delete(message.id);
    if (message.error) waiting.reject(new AtomicError('failed', `QEMU refused: ${message.error.desc}`));
    else waiting.resolve(message.return);
  }
}
