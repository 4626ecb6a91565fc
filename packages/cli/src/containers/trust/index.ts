import type { Command } from 'commander';
import { register as add } from './add.ts';
import { register as defaults } from './default.ts';
import { register as remove } from './delete.ts';
import { register as explain } from './explain.ts';
import { register as registries } from './registries.ts';
import { register as reset } from './reset.ts';
import { register as show } from './show.ts';

/** `atomic trust …`: which images are let in, by policy.json and registries.d. */
export function register(program: Command): void {
  const trust = program.command('trust').description('which images are let in: keys, rules, and why one was refused');
  trust.addHelpText(
    'after',
    `
Podman, skopeo and buildah follow the same files: policy.json (who must have signed what) and registries.d (where
signatures are), your own in ~/.config/containers before the system's in /etc/containers.

Examples:
  atomic trust explain registry.example/app:1     would it be let in, by which rule and key, and what would help
  atomic trust add registry.example --pubkeys key.gpg --lookaside https://signatures.example
  atomic trust default reject                     nothing that no rule speaks of
  atomic trust show                               every rule, with the state of its keys`,
  );
  for (const verb of [explain, show, add, remove, defaults, reset, registries]) verb(trust);
}
