import type { Command } from 'commander';
import { register as consents } from './consents.ts';
import { register as remove } from './delete.ts';
import { register as list } from './list.ts';
import { register as profiles } from './profiles.ts';
import { register as recover } from './recover.ts';
import { register as rollback } from './rollback.ts';
import { register as trim } from './trim.ts';
import { register as update } from './update.ts';

/** Adds `atomic containers …`. */
export function register(program: Command): void {
  const containers = program
    .command('containers')
    .description('the containers of all engines: list, update, roll back');
  for (const verb of [list, remove, update, rollback, recover, trim, profiles, consents]) verb(containers);
}
