import type { Command } from 'commander';
import { register as commit } from './commit.ts';
import { register as container } from './container.ts';
import { register as extensions } from './extensions.ts';
import { register as image } from './image.ts';
import { register as install } from './install.ts';
import { register as postprocess } from './postprocess.ts';
import { register as promote } from './promote.ts';
import { register as retain } from './retain.ts';
import { register as streams } from './streams.ts';
import { register as tree } from './tree.ts';
import { register as watch } from './watch.ts';

/** The commands, in the order the help shows them. */
const VERBS = [tree, install, postprocess, commit, extensions, watch, promote, streams, retain, image, container];

/** `atomic compose …`: names and options as rpm-ostree has them. */
export function register(program: Command): void {
  const compose = program.command('compose').description('make trees and disk images from a treefile');
  for (const verb of VERBS) verb(compose);
}
