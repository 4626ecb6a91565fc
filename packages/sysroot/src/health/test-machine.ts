import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { commitTree, stringVariant } from '@atomic/ostree';
import { deploy } from '../deploy.ts';
import type { Deployment } from '../deployment.ts';
import { createStateroot, createSysroot } from '../init.ts';
import { makeOrigin } from '../origin.ts';
import { Sysroot } from '../sysroot.ts';
import { healthBegin, judgeBoot } from './judge.ts';
import { type CheckedMachine, type Ran, runBounded } from './machine.ts';
import { HealthRecords } from './records.ts';

/** Removed when the tests of a file are over. */
export const scratch = mkdtempSync(join(tmpdir(), 'atomic-health-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
/** Why such disks cannot be made here, or false. */
export const skip = process.getuid?.() === 0 ? false : 'needs root (owners)';

export const OS = 'test';
let serial = 0;

/** A disk with some versions on it, one of which runs, and a machine that does as it is told. */
export class Fake {
  readonly path: string;
  readonly run: string;
  /** What systemctl says of units: `show` by name, and the names that `list-units` gives. */
  readonly units = new Map<string, Record<string, string>>();
  reboots = 0;
  boots = 0;
  /** Seconds since the machine's start; sleeping moves it on, and nothing waits for real. */
  time = 0;
  /** The wall clock: jumps as the tests like. */
  date = new Date('2026-05-05T05:05:05Z');
  reachable = true;
  #booted: string | null = null;

  constructor() {
    this.path = join(scratch, `disk-${++serial}`);
    this.run = join(scratch, `run-${serial}`);
    mkdirSync(this.path);
    mkdirSync(`${this.run}/ostree`, { recursive: true });
    writeFileSync(`${this.run}/ostree-booted`, '');
    createSysroot(this.path, { epoch: 1 });
    createStateroot(this.open(), OS);
  }

  open(): Sysroot {
    return Sysroot.open(this.path, {
      mutableDeployments: true,
      run: this.run,
      root: this.#booted ?? '/',
      system: {
        startUnit: async () => {},
        reboot: async () => void this.reboots++,
      },
    });
  }

  /** Makes a version and puts it first, as a finished upgrade would. */
  async add(version: string, files: Record<string, string> = {}, stage = false, os = OS): Promise<Deployment> {
    const tree = join(scratch, `tree-${++serial}`);
    const all = {
      'usr/lib/os-release': 'ID=test\nPRETTY_NAME="Test OS"\n',
      'usr/lib/modules/6.1/vmlinuz': `kernel ${version}`,
      'usr/lib/modules/6.1/initramfs.img': 'initramfs',
      'usr/etc/conf': 'default',
      'usr/lib/atomic/updates.d/50-test.conf': '[Updates]\nPolicy=none\n',
      ...files,
    };
    for (const [name, text] of Object.entries(all)) {
      mkdirSync(join(tree, name, '..'), { recursive: true });
      writeFileSync(join(tree, name), text);
    }
    const sysroot = this.open();
    const { commit } = await commitTree(sysroot.repo, {
      trees: [{ dir: tree }],
      branch: 'main',
      timestamp: 1_700_000_000 + serial,
      metadata: new Map([['version', stringVariant(version)]]),
    });
    return await deploy(sysroot, { os, rev: commit, origin: makeOrigin('main'), stage });
  }

  /** Starts a deployment: what the first boot entry names, unless it is said. */
  boot(which?: Deployment): Sysroot {
    const layout = this.open().layout;
    const target = which ?? this.open().load().deployments[0];
    assert.ok(target !== undefined);
    this.#booted = layout.deployment(target);
    this.boots++;
    rmSync(`${this.run}/atomic`, { recursive: true, force: true });
    return this.open();
  }

  get bootId(): string {
    return `b007-${this.boots}`;
  }

  get machine(): CheckedMachine {
    return {
      run: async (program, args, limits): Promise<Ran> => {
        if (program !== 'systemctl') return await runBounded(program, args, limits);
        return { kind: 'exited', code: 0, output: this.#systemctl(args) };
      },
      reach: async () => {
        if (!this.reachable) throw new Error('Connection refused');
      },
      ping: async () => true,
      clock: () => this.time,
      sleep: async (seconds) => {
        this.time += seconds;
      },
      bootId: () => this.bootId,
      now: () => this.date,
    };
  }

  get options() {
    return { machine: this.machine };
  }

  unit(name: string, active: string, more: Record<string, string> = {}): void {
    const base = { LoadState: 'loaded', UnitFileState: 'enabled', ActiveState: active, SubState: 'running', Job: '0' };
    this.units.set(name, { ...base, ...more });
  }

  #systemctl(args: readonly string[]): string {
    if (args[0] === 'list-units' && args.includes('--state=running')) {
      const running = [...this.units].filter(([, state]) => state['ActiveState'] === 'active');
      return running.map(([name]) => `${name} loaded active running something`).join('\n');
    }
    if (args[0] === 'list-jobs') return '12 slow.service start running';
    if (args[0] !== 'show') return '';
    return args
      .slice(args.indexOf('--') + 1)
      .map((name) => {
        const state = this.units.get(name) ?? { LoadState: 'not-found', ActiveState: 'inactive' };
        return Object.entries(state)
          .map(([key, value]) => `${key}=${value}`)
          .join('\n');
      })
      .join('\n\n');
  }

  records(): HealthRecords {
    return new HealthRecords(this.open(), OS);
  }

  first(): string | undefined {
    return this.open().load().deployments[0]?.version;
  }

  /** One boot, judged. */
  async judged(which?: Deployment) {
    const sysroot = this.boot(which);
    await healthBegin(sysroot, this.options);
    return await judgeBoot(sysroot, this.options);
  }

  motd(): string {
    const path = `${this.run}/motd.d/85-atomic-health`;
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

/** A tree in which this is a required check. */
export const required = (script: string) => ({ 'usr/lib/greenboot/check/required.d/10-test.sh': script });
