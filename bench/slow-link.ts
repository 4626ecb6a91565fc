/**
 * A network namespace behind a slow link: `slow-link.ts NAME RTT_MS MBIT` makes it and prints `HOST-ADDRESS`, until its
 * standard input ends. Not every kernel has a queueing discipline that delays, so two TUN devices are joined here and
 * their packets held back: TCP sees a real link with its round trip, rate and queue.
 */
import { execFileSync } from 'node:child_process';
import { constants, existsSync, openSync, read, writeSync } from 'node:fs';
import { syscall } from '../packages/linux/src/libc.ts';

const ioctl = syscall('ioctl', 'int ioctl(int fd, unsigned long request, _Inout_ void *argument)');
// linux/if_tun.h: _IOW('T', 202, int); struct ifreq is a name of 16 bytes, then flags.
const TUNSETIFF = 0x400454ca;
const IFF_TUN_NO_PI = 0x1001;
/** What the link buffers before it drops, in milliseconds of its rate. */
const QUEUE_MS = 100;

const [name = 'atomic-slow', rtt = '50', mbit = '20'] = process.argv.slice(2);
const ip = (...words: string[]): void => {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });
};

function openTun(device: string): number {
  const fd = openSync('/dev/net/tun', constants.O_RDWR);
  const request = Buffer.alloc(40);
  request.write(device);
  request.writeUInt16LE(IFF_TUN_NO_PI, 16);
  ioctl('/dev/net/tun', fd, TUNSETIFF, request);
  return fd;
}

/** Carries packets one way, at the link's rate and half its round trip later. */
function carry(from: number, to: number): void {
  const bytesPerMs = (Number(mbit) * 1e6) / 8 / 1000;
  const held: { due: number; packet: Buffer }[] = [];
  let free = 0;
  let waiting = false;
  const wait = (): void => {
    const head = held[0];
    if (waiting || head === undefined) return;
    waiting = true;
    setTimeout(deliver, Math.max(0, head.due - performance.now()));
  };
  const deliver = (): void => {
    waiting = false;
    for (let head = held[0]; head !== undefined && head.due <= performance.now(); head = held[0]) {
      held.shift();
      try {
        writeSync(to, head.packet);
      } catch {
        // The other end has gone down.
      }
    }
    wait();
  };
  const next = (): void => {
    const buffer = Buffer.allocUnsafe(2048);
    read(from, buffer, 0, buffer.length, null, (error, size) => {
      if (error !== null) return;
      const now = performance.now();
      if (free - now < QUEUE_MS) {
        free = Math.max(free, now) + size / bytesPerMs;
        held.push({ due: free + Number(rtt) / 2, packet: buffer.subarray(0, size) });
        wait();
      }
      next();
    });
  };
  next();
}

const [near, far] = [`${name.slice(0, 12)}-0`, `${name.slice(0, 12)}-1`];
const ends = [openTun(near), openTun(far)] as const;
// One that was killed leaves its namespace; its devices went with it.
if (existsSync(`/run/netns/${name}`)) ip('netns', 'delete', name);
ip('netns', 'add', name);
process.stdin.on('end', () => {
  // With its devices gone the reads end, and so does this process.
  ip('netns', 'delete', name);
  ip('link', 'delete', near);
  process.exit(0);
});
process.stdin.resume();
ip('link', 'set', far, 'netns', name);
ip('address', 'add', '10.203.57.1/30', 'dev', near);
ip('link', 'set', near, 'up');
ip('-n', name, 'address', 'add', '10.203.57.2/30', 'dev', far);
ip('-n', name, 'link', 'set', far, 'up');
carry(ends[0], ends[1]);
carry(ends[1], ends[0]);
console.log('10.203.57.1');
