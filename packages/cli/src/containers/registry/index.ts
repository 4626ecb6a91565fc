import type { Command } from 'commander';
import { register as remove } from './delete.ts';
import { register as gc } from './gc.ts';
import { register as list } from './list.ts';
import { register as serve } from './serve.ts';
import { register as unit } from './unit.ts';
import { register as user } from './user.ts';

/** `atomic registry …`: a registry of one's own. */
export function register(program: Command): void {
  const registry = program.command('registry').description('a registry of your own, over the image store');
  registry.addHelpText(
    'after',
    `
docker, podman, skopeo and every other client of the OCI distribution API push to it and pull from it.

Examples:
  atomic registry serve                                       on 127.0.0.1:5000, for this machine
  atomic registry user add alice                              then, for others:
  atomic registry serve --listen=:5000 --tls --htpasswd=FILE
  atomic registry serve --cache=quay.io                       what is pulled through it is kept
  atomic registry list                                        what it holds
  atomic registry gc                                          free what nothing names any more`,
  );
  for (const verb of [serve, list, remove, gc, user, unit]) verb(registry);
}
