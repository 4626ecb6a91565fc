import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import type { UnitState } from '@atomic/sysroot';
import type { Prober } from './health.ts';
import { type DeployOptions, Lifecycle } from './lifecycle.ts';
import type { Services } from './services.ts';

const scratch = mkdtempSync(join(tmpdir(), 'atomic-lifecycle-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
let serial = 0;

/** A host with a systemd that does as it is told, and a clock that moves by sleeping. */
export class FakeHost implements Services, Prober {
  running = true;
  readonly root = join(scratch, `root-${++serial}`);
  readonly folder = join(scratch, `deployments-${serial}`);
  /** What was asked of systemd. */
  readonly calls: string[] = [];
  readonly active = new Set<string>();
  readonly enabled = new Set<string>();
  /** Units that do not start, and those that start again and again. */
  readonly broken = new Set<string>();
  readonly restarts = new Map<string, number>();
  /** Unit → what systemd stops with it. */
  readonly needs = new Map<string, string[]>();
  /** What a probe finds: why not, or null. */
  answer: string | null = null;
  time = 0;
  lifecycle: Lifecycle;

  constructor() {
    mkdirSync(join(this.root, 'etc/systemd/system'), { recursive: true });
    this.lifecycle = this.open();
  }

  open(onStep?: (name: string, step: { do: string }) => void): Lifecycle {
    let ticks = 0;
    return new Lifecycle({
      folder: this.folder,
      root: this.root,
      services: this,
      prober: this,
      title: 'test',
      now: () => new Date(Date.UTC(2026, 0, 1, 0, 0, 0, serial++ + ticks++)),
      onStep,
    });
  }

  /** Installs or updates `demo`: a unit, a configuration file, and a file of its own that says `version`. */
  deploy(
    version: string,
    options: Partial<DeployOptions> & { files?: Record<string, string>; tmpfiles?: string } = {},
  ) {
    const files: Record<string, string> = {
      '/etc/systemd/system/demo.service': `[Service]\nExecStart=/bin/demo ${version}\n`,
      '/etc/demo/demo.conf': `version = ${version}\n`,
      ...options.files,
    };
    return this.lifecycle.deploy('demo', {
      kind: 'test',
      identity: version,
      title: `demo:${version}`,
      stage: async ({ folder }) => {
        for (const [path, text] of Object.entries(files)) {
          mkdirSync(join(folder, 'host', path, '..'), { recursive: true });
          writeFileSync(join(folder, 'host', path), text);
        }
        if (options.tmpfiles !== undefined) writeFileSync(join(folder, 'tmpfiles.conf'), options.tmpfiles);
        return {
          ...(options.tmpfiles === undefined ? {} : { tmpfiles: ['tmpfiles.conf'] }),
          files: Object.keys(files).map((path) => ({
            path,
            source: `host${path}`,
            managed: path.startsWith('/etc/systemd'),
          })),
          units: [{ name: 'demo.service', enable: true, start: true }],
          health: { probes: [{ type: 'tcp', host: 'localhost', port: 80 }] },
          details: {},
        };
      },
      ...options,
    });
  }

  async states(units: readonly string[]): Promise<UnitState[]> {
    return units.map((name) => ({
      name,
      load: 'loaded',
      active: this.active.has(name) ? 'active' : 'inactive',
      sub: 'running',
      file: this.enabled.has(name) ? 'enabled' : 'disabled',
      type: 'simple',
      result: 'success',
      restarts: this.restarts.get(name) ?? 0,
      job: false,
      ran: false,
      unmet: false,
    }));
  }
  async dependants(units: readonly string[]): Promise<string[]> {
    return units.flatMap((unit) => this.needs.get(unit) ?? []).filter((name) => this.active.has(name));
  }
  async reload(): Promise<void> {
    this.calls.push('reload');
  }
  async start(units: readonly string[]): Promise<void> {
    this.calls.push(`start ${units.join(' ')}`);
    for (const unit of units) {
      if (this.broken.has(unit)) throw new AtomicError('failed', `${unit} is failed (exit-code)`);
      this.active.add(unit);
    }
  }
  async stop(units: readonly string[]): Promise<void> {
    this.calls.push(`stop ${units.join(' ')}`);
    for (const unit of [...units, ...units.flatMap((name) => this.needs.get(name) ?? [])]) this.active.delete(unit);
  }
  async enable(units: readonly string[]): Promise<void> {
    for (const unit of units) this.enabled.add(unit);
  }
  async disable(units: readonly string[]): Promise<void> {
    for (const unit of units) this.enabled.delete(unit);
  }
  async tmpfiles(_what: 'create' | 'remove', _files: readonly string[]): Promise<void> {}

  clock(): number {
    return this.time;
  }
  async sleep(seconds: number): Promise<void> {
    this.time += seconds;
    for (const [unit, times] of this.restarts) this.restarts.set(unit, times + 1);
  }
  async run(): Promise<never> {
    throw new Error('nothing to run');
  }
  async http(): Promise<string | null> {
    return this.answer;
  }
  async tcp(): Promise<string | null> {
    return this.answer;
  }
}
