// Fetches what the lock file has of another architecture's Node and koffi, which trees for it get. Usage:
//   node_modules/.bin/node tools/foreign-runtime.ts arm64
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { FOREIGN_MODULES } from '../packages/compose/src/runtime/runtime.ts';

const root = dirname(import.meta.dirname);
const [machine = 'arm64'] = process.argv.slice(2);
const lock = z
  .object({
    packages: z.record(z.string(), z.looseObject({ version: z.string().optional(), integrity: z.string().optional() })),
  })
  .parse(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
const names = [`node-linux-${machine}`, `@koromix/koffi-linux-${machine}`];
const locked = names.map((name) => {
  const found = lock.packages[`node_modules/${name}`];
  if (found?.version === undefined) throw new Error(`package-lock.json has no ${name}`);
  return { name, ...found };
});

// A project of its own, with these locked packages alone: npm checks them against the lock file as ever.
const there = join(root, dirname(FOREIGN_MODULES));
const aside = `${there}.part`;
const dependencies = Object.fromEntries(locked.map(({ name, version }) => [name, version]));
const packages = {
  '': { name: 'runtime', version: '0.0.0', dependencies },
  ...Object.fromEntries(locked.map(({ name, ...entry }) => [`node_modules/${name}`, { ...entry, optional: false }])),
};
const project = `${JSON.stringify({ name: 'runtime', version: '0.0.0', lockfileVersion: 3, requires: true, packages })}\n`;
const done = join(there, 'package-lock.json');
if (existsSync(done) && readFileSync(done, 'utf8') === project) process.exit(0);
rmSync(aside, { recursive: true, force: true });
mkdirSync(aside, { recursive: true });
writeFileSync(join(aside, 'package.json'), `${JSON.stringify({ name: 'runtime', version: '0.0.0', dependencies })}\n`);
writeFileSync(join(aside, 'package-lock.json'), project);
writeFileSync(join(aside, '.npmrc'), readFileSync(join(root, '.npmrc')));
const system = ['--os=linux', `--cpu=${machine}`, '--force'];
execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--no-bin-links', ...system], {
  cwd: aside,
  stdio: 'inherit',
});
rmSync(there, { recursive: true, force: true });
renameSync(aside, there);
