import type { Command } from 'commander';

/** A verb of `atomic` about images and containers; its code is imported when it is the one asked for. */
interface Verb {
  name: string;
  summary: string;
  load: () => Promise<{ register: (program: Command) => void }>;
}

/** In the order of the help. The summary is the one the verb's own file gives its command. */
export const VERBS: readonly Verb[] = [
  {
    name: 'run',
    summary: 'run an image the way it says itself, or go into its container',
    load: () => import('./run.ts'),
  },
  { name: 'install', summary: 'fetch an image and install it the way it says', load: () => import('./install.ts') },
  { name: 'stop', summary: 'stop a container the way its image says', load: () => import('./stop.ts') },
  {
    name: 'uninstall',
    summary: 'remove a container and its image, and what its installation left',
    load: () => import('./uninstall.ts'),
  },
  {
    name: 'quadlet',
    summary: 'containers, volumes, networks and pods as units of systemd',
    load: () => import('./quadlet.ts'),
  },
  {
    name: 'registry',
    summary: 'a registry of your own, over the image store',
    load: () => import('./registry/index.ts'),
  },
  {
    name: 'trust',
    summary: 'which images are let in: keys, rules, and why one was refused',
    load: () => import('./trust/index.ts'),
  },
];
