import type { Command } from 'commander';
import { registerInfo } from '../info.ts';
import { register as remove } from './delete.ts';
import { register as help } from './help.ts';
import { register as list } from './list.ts';
import { register as prune } from './prune.ts';
import { register as tag } from './tag.ts';
import { registerUpdate } from './update.ts';
import { register as verify } from './verify.ts';
import { register as version } from './version.ts';

/** Adds `atomic images …`. */
export function register(program: Command): void {
  const images = program.command('images').description('the images of all engines and of the store');
  for (const verb of [list, remove, registerInfo, help, version, prune, tag, registerUpdate, verify]) verb(images);
}
