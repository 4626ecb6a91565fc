import type { Command } from 'commander';
import { register as apply } from './apply.ts';
import { register as diff } from './diff.ts';
import { register as exportVerb } from './export.ts';
import { register as show } from './show.ts';

/** `atomic changeset …`: what was written on top of a tree, as a thing of its own. */
export function register(program: Command): void {
  const changeset = program
    .command('changeset')
    .description('what was written on top of a tree: show, apply, compare, export');
  changeset.addHelpText(
    'after',
    `
A changeset is an overlayfs upper directory, an OCI layer, or what differs between two commits. Laid over a commit it
makes another, at a cost that follows the changeset: directories it does not touch are not read.

Examples:
  atomic changeset show --layer=layer.tar.gz
  atomic changeset apply --repo=repo --base=REF --upper=work/upper -b REF-with-tools
  atomic changeset diff --repo=repo REF REF-with-tools
  atomic changeset export --repo=repo REF REF-with-tools -o tools.raw    a systemd system extension`,
  );
  for (const verb of [diff, show, apply, exportVerb]) verb(changeset);
}
