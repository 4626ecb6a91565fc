/**
 * One operation on deployments: `lifecycle-step.ts OPERATION FOLDER [KILL-BEFORE-STEP]`. The folder has the deployments, the
 * host's root, and what its systemd would know: which units run and which are enabled.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Lifecycle } from '../../packages/containers/src/lifecycle/lifecycle.ts';
import type { Services } from '../../packages/containers/src/lifecycle/services.ts';

/** A systemd whose memory is a folder: a process that is killed leaves it as it was at that time. */
class FolderServices implements Services {
  readonly running = true;
  readonly #folder: string;
  constructor(folder: string) {
    this.#folder = folder;
    for (const name of ['active', 'enabled']) mkdirSync(join(folder, name), { recursive: true });
  }
  #set(what: 'active' | 'enabled', units: readonly string[], on: boolean): void {
    for (const unit of units) {
      const path = join(this.#folder, what, unit);
      if (on) writeFileSync(path, '');
      else rmSync(path, { force: true });
    }
  }
  async states(units: readonly string[]) {
    const is = (what: string, unit: string): boolean => existsSync(join(this.#folder, what, unit));
    const same = { load: 'loaded', sub: '', type: 'simple', result: 'success', restarts: 0, job: false };
    return units.map((name) => ({
      ...same,
      name,
      active: is('active', name) ? 'active' : 'inactive',
      file: is('enabled', name) ? 'enabled' : 'disabled',
      ran: false,
      unmet: false,
    }));
  }
  async dependants(): Promise<string[]> {
    return readdirSync(join(this.#folder, 'active')).filter((name) => name === 'needs.service');
  }
  async reload(): Promise<void> {}
  async start(units: readonly string[]): Promise<void> {
    this.#set('active', units, true);
  }
  async stop(units: readonly string[]): Promise<void> {
    this.#set('active', [...units, 'needs.service'], false);
  }
  async enable(units: readonly string[]): Promise<void> {
    this.#set('enabled', units, true);
  }
  async disable(units: readonly string[]): Promise<void> {
    this.#set('enabled', units, false);
  }
  async tmpfiles(): Promise<void> {}
}

async function main([operation = '', folder = '', at]: string[]): Promise<void> {
  let steps = 0;
  const root = join(folder, 'root');
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  const unwell = operation === 'unwell';
  const lifecycle = new Lifecycle({
    folder: join(folder, 'deployments'),
    root,
    services: new FolderServices(join(folder, 'systemd')),
    prober: {
      clock: () => 0,
      sleep: async () => {},
      run: async () => ({ kind: 'not-started', why: 'nothing runs here' }),
      http: async () => null,
      tcp: async (_host, port) => (unwell && port === 2 ? 'connection refused' : null),
    },
    title: operation,
    onStep: () => {
      if (at !== undefined && steps++ >= Number(at)) process.kill(process.pid, 'SIGKILL');
    },
  });
  const deploy = (version: number) =>
    lifecycle.deploy('demo', {
      kind: 'test',
      identity: String(version),
      title: `demo:${version}`,
      start: 'yes',
      stage: async (where) => {
        const files = ['/etc/systemd/system/demo.service', '/etc/demo/demo.conf', `/etc/only-${version}/file`];
        for (const path of files) {
          mkdirSync(join(where.folder, 'host', path, '..'), { recursive: true });
          writeFileSync(join(where.folder, 'host', path), `version ${version}\n`);
        }
        return {
          files: files.map((path) => ({ path, source: `host${path}`, managed: path.includes('systemd') })),
          units: [{ name: 'demo.service', enable: true, start: true }],
          // Asked once: where it is not answered at once, it never is.
          health: { probes: [{ type: 'tcp', host: 'demo', port: version }], seconds: 1, interval: 2, settle: 0 },
          details: {},
        };
      },
    });
  const operations: Record<string, () => Promise<unknown>> = {
    install: () => deploy(1),
    update: () => deploy(2),
    unwell: () =>
      deploy(2).catch((error: unknown) => {
        // What is asked for here is the way back.
        if (!(error instanceof Error && 'outcome' in error && error.outcome === 'unhealthy')) throw error;
      }),
    // Done already where a run before this one was killed after it.
    rollback: async () => {
      await lifecycle.recover();
      if (lifecycle.find('demo')?.active !== 0) await lifecycle.rollback('demo', { to: 0 });
    },
    remove: async () => {
      await lifecycle.recover();
      if (lifecycle.find('demo') !== undefined) await lifecycle.remove('demo');
    },
    recover: () => lifecycle.recover(),
  };
  const chosen = operations[operation];
  if (chosen === undefined) throw new Error(`no operation '${operation}'`);
  await chosen();
  process.stdout.write(`${steps}\n`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
});
