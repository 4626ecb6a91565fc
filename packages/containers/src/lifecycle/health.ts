import { describeUnit, judgeUnit, type Ran, type RunLimits } from '@atomic/sysroot';
import type { HealthCheck, Probe } from './record.ts';
import type { Services } from './services.ts';

/** What a health check asks of the machine besides systemd; tests give their own. */
export interface Prober {
  /** Seconds that only grow. */
  clock(): number;
  sleep(seconds: number): Promise<void>;
  run(program: string, args: readonly string[], limits: RunLimits): Promise<Ran>;
  /** Why a URL or a port does not answer well; null when it does. */
  http(url: string, seconds: number): Promise<string | null>;
  tcp(host: string, port: number, seconds: number): Promise<string | null>;
}

/** The machine this runs on. */
export const thisMachine: Prober = {
  clock: () => Number(process.hrtime.bigint()) / 1e9,
  sleep: async (seconds) => {
    const { setTimeout: pause } = await import('node:timers/promises');
    await pause(seconds * 1000);
  },
  run: async (program, args, limits) => {
    const { runBounded } = await import('@atomic/sysroot');
    return await runBounded(program, args, limits);
  },
  http: async (url, seconds) => {
    const { get } = url.startsWith('https:') ? await import('node:https') : await import('node:http');
    return await new Promise((done) => {
      // A connection of its own: one kept from an earlier question may lead to what was stopped since.
      const asked = get(url, { agent: false }, (answer) => {
        answer.resume();
        end((answer.statusCode ?? 500) < 400 ? null : `answered ${answer.statusCode}`);
      });
      const timer = setTimeout(() => end('no answer'), seconds * 1000);
      const end = (why: string | null): void => {
        clearTimeout(timer);
        asked.destroy();
        done(why);
      };
      asked.on('error', (error) => end(error.message));
    });
  },
  tcp: async (host, port, seconds) => {
    const { connect } = await import('node:net');
    return await new Promise((done) => {
      const socket = connect({ host, port });
      const end = (why: string | null): void => {
        socket.destroy();
        done(why);
      };
      socket.setTimeout(Math.ceil(seconds * 1000), () => end('no answer'));
      socket.once('connect', () => end(null)).once('error', (error) => end(error.message));
    });
  },
};

/** What one attempt of a probe may take, in seconds. */
const ATTEMPT = 10;

async function ask(probe: Probe, prober: Prober, seconds: number): Promise<string | null> {
  switch (probe.type) {
    case 'http': {
      const why = await prober.http(probe.url, seconds);
      return why === null ? null : `${probe.url}: ${why}`;
    }
    case 'tcp': {
      const why = await prober.tcp(probe.host, probe.port, seconds);
      return why === null ? null : `${probe.host}:${probe.port}: ${why}`;
    }
    case 'exec': {
      const [program = '', ...args] = probe.command;
      const ran = await prober.run(program, args, { seconds, characters: 400 });
      const said = 'output' in ran && ran.output !== '' ? `: ${ran.output.split('\n').at(-1)}` : '';
      const line = probe.command.join(' ');
      switch (ran.kind) {
        case 'exited':
          return ran.code === 0 ? null : `'${line}' ended with ${ran.code}${said}`;
        case 'timed-out':
          return `'${line}' took more than ${Math.round(seconds)} s${said}`;
        case 'killed':
          return `'${line}' was killed by ${ran.signal}${said}`;
        case 'not-started':
          return `'${line}' did not start: ${ran.why}`;
      }
    }
  }
}

/**
 * Whether what was started is well: its units are up and stay up without being started anew, and every probe is
 * answered, all before the deadline. Returns why it is not, or null. A unit that failed for good is not waited for.
 */
export async function whyUnwell(
  units: readonly string[],
  check: HealthCheck,
  services: Services,
  prober: Prober,
  signal?: AbortSignal,
): Promise<string | null> {
  const until = prober.clock() + check.seconds;
  let steady = { since: prober.clock(), restarts: '' };
  for (;;) {
    signal?.throwIfAborted();
    let why: string | null = null;
    const states = await services.states(units);
    const restarts = states.map((state) => state.restarts).join();
    if (restarts !== steady.restarts) steady = { since: prober.clock(), restarts };
    for (const state of states) {
      const judged = judgeUnit(state);
      if (judged === 'failed') return `${state.name} is ${describeUnit(state)}`;
      // What ended by itself, and is not to be started again, will not come back; what is started again may.
      if (judged === 'idle' || judged === 'gone') return `${state.name} is ${describeUnit(state)}, it does not stay up`;
      if (judged === 'waiting') why ??= `${state.name} is ${describeUnit(state)}`;
    }
    for (const probe of why === null ? check.probes : []) {
      why ??= await ask(probe, prober, Math.max(1, Math.min(ATTEMPT, until - prober.clock())));
    }
    const now = prober.clock();
    const settled = now - steady.since >= check.settle;
    if (why === null && settled) return null;
    const pause = why === null ? Math.max(0.05, check.settle - (now - steady.since)) : check.interval;
    if (now + pause > until) {
      const late = why ?? `${units.join(', ')} did not stay up for ${check.settle} s`;
      return `${late} (not well within ${check.seconds} s)`;
    }
    await prober.sleep(pause);
  }
}
