import type { Command } from 'commander';
import { register as commit } from './commit.ts';
import { register as container } from './container.ts';
import { register as extensions } from './extensions.ts';
import { register as image } from './image.ts';
import { register as install } from './install.ts';
import { register as postprocess } from './postprocess.ts';
import { register as tree } from './tree.ts';

/** The commands, in the order the help shows them. */
const VERBS = [tree, install, postprocess, commit, extensions, image, container];

/** `atomic compose …`: names and options as rpm-ostree has them. */
export function register(program: Command): void {
  const compose = program.command('compose').description('make trees and disk images from a treefile');
  for (const verb of VERBS) verb(compose);
}
