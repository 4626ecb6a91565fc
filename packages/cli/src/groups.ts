import type { Command } from 'commander';
import type { MACHINE_NAMES } from './elsewhere.ts';

/** A group of commands; one without `load` belongs to another program, see elsewhere.ts. */
export interface Group {
  name: string;
  summary: string;
  load?: () => Promise<{ register: (program: Command) => void }>;
}

/** About machines. Only the group named on the command line is imported, so that starting stays fast. */
export const MACHINE_GROUPS: readonly (Group & { name: (typeof MACHINE_NAMES)[number] })[] = [
  { name: 'host', summary: 'show, upgrade, roll back and deploy this machine', load: () => import('./host/index.ts') },
  { name: 'compose', summary: 'make trees and disk images from a treefile', load: () => import('./compose/index.ts') },
  {
    name: 'db',
    summary: 'which packages are in commits, and how they differ (dpkg and rpm)',
    load: () => import('./db/index.ts'),
  },
  {
    name: 'changeset',
    summary: 'what was written on top of a tree: show, apply, compare, export',
    load: () => import('./changeset/index.ts'),
  },
  { name: 'vm', summary: 'run disk images in a virtual machine', load: () => import('./vm.ts') },
];

export const COMPLETION: Group = { name: 'completion', summary: 'print a completion script for a shell' };
