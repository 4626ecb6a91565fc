import type { Command } from 'commander';
import { register as container } from './container.ts';
import { register as image } from './image.ts';
import { register as tree } from './tree.ts';

/** The commands, in the order the help shows them. */
const VERBS = [tree, image, container];

/** `atomic compose …`: names and options as rpm-ostree has them. */
export function register(program: Command): void {
  const compose = program.command('compose').description('make trees and disk images from a treefile');
  for (const verb of VERBS) verb(compose);
}
