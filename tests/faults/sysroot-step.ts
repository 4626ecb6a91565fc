/**
 * One operation on a disk whose first deployment runs: `sysroot-step.ts OPERATION FOLDER`. The folder has the disk (root/),
 * the running system's state (run/), and where its root is (booted).
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  changeLayers,
  cleanup,
  finalizeStaged,
  judgeBoot,
  rollback,
  Sysroot,
  setDefault,
  undeploy,
  upgrade,
} from '../../packages/sysroot/src/index.ts';
import { FakeLayers } from '../interop/fake-layers.ts';

const layers = async () => new FakeLayers({ vim: { version: '9.0-1' } });

const OPERATIONS: Record<string, (sysroot: Sysroot, folder: string) => Promise<unknown>> = {
  stage: (sysroot) => upgrade(sysroot),
  deploy: (sysroot) => upgrade(sysroot, { stage: false }),
  layer: (sysroot, folder) =>
    changeLayers(sysroot, { install: ['vim', join(folder, 'tool.deb')] }, { layers, stage: false }),
  finalize: (sysroot) => finalizeStaged(sysroot),
  rollback: (sysroot) => rollback(sysroot),
  judge: (sysroot) => judgeBoot(sysroot),
  'set-default': (sysroot) => setDefault(sysroot, 1),
  undeploy: (sysroot) => undeploy(sysroot, 1),
  cleanup: (sysroot) => cleanup(sysroot),
};

/** What a person would get, told as the programs tell it. */
async function main([name = '', folder = '']: string[]): Promise<void> {
  const operation = OPERATIONS[name];
  if (operation === undefined) throw new Error(`no operation '${name}'`);
  const root = join(folder, 'root');
  const booted = join(root, readFileSync(join(folder, 'booted'), 'utf8'));
  const system = { startUnit: async () => {}, reboot: async () => {} };
  await operation(Sysroot.open(root, { run: join(folder, 'run'), root: booted, system }), folder);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
});
