import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listDeployed } from '../../packages/containers/src/lifecycle/deployments.ts';
import type { Scenario } from './scenarios.ts';

/** Everything that a person could tell apart: deployments, files of the host, what runs and what is enabled. */
export function picture(folder: string): string {
  const host = join(folder, 'root/etc');
  const files = existsSync(host)
    ? readdirSync(host, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .sort()
        .map((path) => `${path.slice(host.length)}: ${readFileSync(path, 'utf8').trim()}`)
    : [];
  const known = ['active', 'enabled'].flatMap((name) => {
    const path = join(folder, 'systemd', name);
    return existsSync(path) ? readdirSync(path).map((unit) => `${name}: ${unit}`) : [];
  });
  const deployed = listDeployed(join(folder, 'deployments')).map(
    ({ name, active, deployments }) => `${name} = ${active} of ${deployments.map(({ record }) => record?.title)}`,
  );
  return [...deployed, ...files, ...known].join('\n');
}

/** What must never be seen: a name that leads to something that is not whole. */
export function problems(folder: string): string[] {
  return listDeployed(join(folder, 'deployments')).flatMap(({ active, record, deployments }) => [
    ...deployments.flatMap(({ why }) => (why === null ? [] : [why])),
    ...(active !== null && record === null ? [`the one in use (${active}) is not whole`] : []),
  ]);
}

/** Each way to change what is deployed, and each way back. */
export function lifecycleScenarios(step: readonly string[]): Scenario[] {
  const [bin = '', ...words] = step;
  const run = (operation: string, folder: string): void => {
    execFileSync(bin, [...words, operation, folder], { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const scenario = (name: string, before: readonly string[]): Scenario => ({
    name,
    prepare: (folder) => {
      for (const operation of before) run(operation, folder);
      // Something else needs it.
      mkdirSync(join(folder, 'systemd/active'), { recursive: true });
      if (before.length > 0) writeFileSync(join(folder, 'systemd/active/needs.service'), '');
    },
    command: (folder) => [...step, name, folder],
    recover: (folder) => [...step, 'recover', folder],
    result: picture,
    problems,
  });
  return [
    scenario('install', []),
    scenario('update', ['install']),
    scenario('unwell', ['install']),
    scenario('rollback', ['install', 'update']),
    scenario('remove', ['install']),
  ];
}
