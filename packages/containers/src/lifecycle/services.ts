import { existsSync } from 'node:fs';
import { AtomicError, runProgram } from '@atomic/ostree';
import { describeUnit, type Ran, runBounded, type UnitState, unitStates } from '@atomic/sysroot';

/** What a lifecycle asks of systemd. Units that are not there are no error but for `start`. */
export interface Services {
  /** Whether there is a manager that runs units. */
  readonly running: boolean;
  /** The states of units, in their order; `not-found` in all where nothing runs them. */
  states(units: readonly string[]): Promise<UnitState[]>;
  /** Units that run now and that systemd stops when these are. */
  dependants(units: readonly string[]): Promise<string[]>;
  /** Reads unit files anew. */
  reload(): Promise<void>;
  /** Starts units and waits until they are up, unless told not to; throws `failed` with what they said. */
  start(
    units: readonly string[],
    options?: { wait?: boolean | undefined; signal?: AbortSignal | undefined },
  ): Promise<void>;
  stop(units: readonly string[]): Promise<void>;
  enable(units: readonly string[]): Promise<void>;
  disable(units: readonly string[]): Promise<void>;
  /** Makes, or clears, what files for systemd-tmpfiles say. */
  tmpfiles(what: 'create' | 'remove', files: readonly string[]): Promise<void>;
}

export interface SystemdOptions {
  /** The manager of the user instead of the system's. */
  user?: boolean | undefined;
  /** Another root than '/': nothing is started there. */
  root?: string | undefined;
  /** Where the manager's mark is (/run/systemd/system). */
  mark?: string | undefined;
}

const ASK = { seconds: 20, characters: 1 << 18 };

/** systemd by systemctl and systemd-tmpfiles. */
export class Systemd implements Services {
  readonly running: boolean;
  readonly #scope: readonly string[];
  readonly #root: string;

  constructor({ user = false, root = '/', mark = '/run/systemd/system' }: SystemdOptions = {}) {
    this.running = root === '/' && existsSync(mark);
    this.#scope = user ? ['--user'] : root === '/' ? [] : [`--root=${root}`];
    this.#root = root;
  }

  #ask(args: readonly string[]): Promise<Ran> {
    return runBounded('systemctl', [...this.#scope, ...args], ASK);
  }

  async #tell(args: readonly string[], signal?: AbortSignal): Promise<void> {
    await runProgram('systemctl', [...this.#scope, '--quiet', ...args], { signal });
  }

  async states(units: readonly string[]): Promise<UnitState[]> {
    const run = (program: string, args: readonly string[], limits: typeof ASK): Promise<Ran> =>
      runBounded(program, [...this.#scope, ...args], limits);
    const states = this.running ? await unitStates({ run }, units) : null;
    if (states !== null) return states;
    if (this.running) throw new AtomicError('failed', 'systemd does not answer', { hint: 'see: systemctl status' });
    const none = { load: 'not-found', active: 'inactive', sub: 'dead', file: '', type: '', result: '', restarts: 0 };
    const files = await Promise.all(units.map((unit) => this.#ask(['is-enabled', '--', unit])));
    return units.map((name, index) => {
      const said = files[index];
      const file = said?.kind === 'exited' ? (said.output.split('\n')[0] ?? '') : '';
      return { ...none, name, file, job: false, ran: false, unmet: false };
    });
  }

  async dependants(units: readonly string[]): Promise<string[]> {
    if (!this.running) return [];
    const found = new Set<string>();
    const seen = new Set(units);
    for (let next = [...units]; next.length > 0; ) {
      // A list that cannot be had restarts nothing: no reason to fail.
      const properties = ['RequiredBy', 'BoundBy', 'ConsistsOf', 'RequisiteOf'].flatMap((name) => ['-p', name]);
      const asked = await this.#ask(['show', '--value', ...properties, '--', ...next]);
      const names = asked.kind === 'exited' ? asked.output.split(/\s+/).filter((name) => name !== '') : [];
      next = [...new Set(names)].filter((name) => !seen.has(name));
      for (const name of next) seen.add(name);
      for (const { name, active } of next.length === 0 ? [] : await this.states(next)) {
        if (active === 'active' || active === 'activating' || active === 'reloading') found.add(name);
      }
    }
    // A target that everything hangs on is not stopped for long: what hangs on it is listed by itself.
    return [...found].filter((name) => !name.endsWith('.target'));
  }

  async reload(): Promise<void> {
    if (this.running) await this.#tell(['daemon-reload']);
  }

  async start(
    units: readonly string[],
    { wait = true, signal }: { wait?: boolean | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    if (units.length === 0) return;
    if (!this.running) {
      throw new AtomicError('unsupported', `cannot start ${units.join(', ')}: systemd does not run here`, {
        hint: 'it starts when the machine boots',
      });
    }
    try {
      // One that failed too often may be tried again at once.
      await this.#ask(['reset-failed', '--', ...units]);
      await this.#tell(wait ? ['start', '--', ...units] : ['start', '--no-block', '--', ...units], signal);
    } catch (error) {
      signal?.throwIfAborted();
      const bad = (await this.states(units)).filter(({ active, load }) => active !== 'active' || load !== 'loaded');
      const said = await Promise.all(bad.map((state) => this.#describe(state)));
      throw new AtomicError('failed', said.length === 0 ? String(error) : said.join('; '), { cause: error });
    }
  }

  async #describe(state: UnitState): Promise<string> {
    // What it said itself is the reason; systemd only says that there is one.
    const user = this.#scope[0] === '--user';
    const own = [`_SYSTEMD_${user ? 'USER_' : ''}UNIT=${state.name}`];
    const all = [user ? '--user-unit' : '--unit', state.name];
    const last = (await this.#lastLines(own)) || (await this.#lastLines(all));
    return `${state.name} is ${describeUnit(state)}${last === '' ? '' : `: ${last}`}`;
  }

  /** The last lines of a unit's log, in one. */
  async #lastLines(which: readonly string[]): Promise<string> {
    const scope = this.#scope[0] === '--user' ? ['--user'] : [];
    const log = await runBounded('journalctl', ['-q', '-n', '3', '-o', 'cat', '--no-pager', ...scope, ...which], ASK);
    return log.kind === 'exited' && log.code === 0 ? log.output.split('\n').join(' / ') : '';
  }

  async #quiet(verb: string, units: readonly string[]): Promise<void> {
    for (const unit of units) {
      const ran = await this.#ask([verb, '--', unit]);
      if (ran.kind === 'exited' && ran.code === 0) continue;
      // 5: it is not there (systemctl(1), exit status).
      if (ran.kind === 'exited' && (ran.code === 5 || /not (be found|exist|loaded)/.test(ran.output))) continue;
      const why = 'output' in ran ? ran.output : ran.why;
      throw new AtomicError('failed', `systemctl ${verb} ${unit} failed: ${why}`);
    }
  }

  async stop(units: readonly string[]): Promise<void> {
    if (!this.running) return;
    for (const unit of units) {
      // A service may take its time (TimeoutStopSec), so there is no limit to it here.
      try {
        await this.#tell(['stop', '--', unit]);
      } catch (error) {
        const [state] = await this.states([unit]);
        if (state?.load === 'not-found' || state?.active === 'inactive') continue;
        throw error;
      }
    }
    if (units.length > 0) await this.#ask(['reset-failed', '--', ...units]);
  }

  async enable(units: readonly string[]): Promise<void> {
    if (units.length > 0) await this.#tell(['enable', '--', ...units]);
  }

  disable(units: readonly string[]): Promise<void> {
    return this.#quiet('disable', units);
  }

  async tmpfiles(what: 'create' | 'remove', files: readonly string[]): Promise<void> {
    if (files.length === 0) return;
    const scope = this.#scope[0] === '--user' ? ['--user'] : this.#root === '/' ? [] : [`--root=${this.#root}`];
    await runProgram('systemd-tmpfiles', [...scope, `--${what}`, ...files]);
  }
}
