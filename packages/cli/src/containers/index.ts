import type { Command } from 'commander';

/** A verb of `atomic` about images and containers; its code is imported when it is the one asked for. */
interface Verb {
  name: string;
  summary: string;
  load: () => Promise<{ register: (program: Command) => void }>;
}

/** In the order of the help. The summary is the one the verb's own file gives its command. */
export const VERBS: readonly Verb[] = [
  { name: 'pull', summary: 'fetch an image into the object store', load: () => import('./pull.ts') },
  {
    name: 'push',
    summary: 'write an image of the object store to a registry or a file',
    load: () => import('./push.ts'),
  },
  { name: 'mount', summary: "show an image's files at a folder, read-only", load: () => import('./mount.ts') },
  { name: 'unmount', summary: 'end what mount began', load: () => import('./unmount.ts') },
  {
    name: 'diff',
    summary: 'what is different in another image: files, packages, settings',
    load: () => import('./diff.ts'),
  },
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
    name: 'app',
    summary: 'apps of several containers, updated and taken back as one',
    load: () => import('./app.ts'),
  },
  {
    name: 'quadlet',
    summary: 'containers, volumes, networks and pods as units of systemd',
    load: () => import('./quadlet.ts'),
  },
  {
    name: 'containers',
    summary: 'the containers of all engines: list, update, roll back',
    load: () => import('./containers/index.ts'),
  },
  { name: 'images', summary: 'the images of all engines and of the store', load: () => import('./images/index.ts') },
  { name: 'update', summary: 'fetch the newest version of images', load: () => import('./images/update.ts') },
  {
    name: 'info',
    summary: 'what an image says of itself, and what a container is; with --security, what confines it',
    load: () => import('./info.ts'),
  },
  { name: 'logs', summary: 'show what a container has said', load: () => import('./logs.ts') },
  { name: 'exec', summary: 'run a command in a container that runs', load: () => import('./exec.ts') },
  { name: 'top', summary: 'the processes of all containers, again and again', load: () => import('./top.ts') },
  {
    name: 'scan',
    summary: 'let a scanner look through images, containers or folders',
    load: () => import('./scan.ts'),
  },
  {
    name: 'shell',
    summary: 'containers of your own to work in, with your home, and the machine under /host',
    load: () => import('./shell/index.ts'),
  },
  { name: 's2i', summary: 'images from sources, by builder images', load: () => import('./s2i.ts') },
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
  {
    name: 'search',
    summary: 'look for images in all registries; results have their whole names',
    load: () => import('./search.ts'),
  },
  { name: 'sign', summary: 'sign images of a registry, with GPG or a sigstore key', load: () => import('./sign.ts') },
];
