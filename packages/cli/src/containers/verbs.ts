/**
 * The verbs of `atomic` about images and containers, in the order of the help. The summary is the one the verb's own file
 * gives its command.
 */
export const VERBS = [
  { name: 'pull', summary: 'fetch an image into the object store' },
  { name: 'push', summary: 'write an image of the object store to a registry or a file' },
  { name: 'mount', summary: "show an image's files at a folder, read-only" },
  { name: 'unmount', summary: 'end what mount began' },
  { name: 'diff', summary: 'what is different in another image: files, packages, settings' },
  { name: 'run', summary: 'run an image the way it says itself, or go into its container' },
  { name: 'install', summary: 'fetch an image and install it the way it says' },
  { name: 'stop', summary: 'stop a container the way its image says' },
  { name: 'uninstall', summary: 'remove a container and its image, and what its installation left' },
  { name: 'app', summary: 'apps of several containers, updated and taken back as one' },
  { name: 'quadlet', summary: 'containers, volumes, networks and pods as units of systemd' },
  { name: 'containers', summary: 'the containers of all engines: list, update, roll back' },
  { name: 'images', summary: 'the images of all engines and of the store' },
  { name: 'update', summary: 'fetch the newest version of images' },
  { name: 'info', summary: 'what an image says of itself, and what a container is; with --security, what confines it' },
  { name: 'logs', summary: 'show what a container has said' },
  { name: 'exec', summary: 'run a command in a container that runs' },
  { name: 'top', summary: 'the processes of all containers, again and again' },
  { name: 'scan', summary: 'let a scanner look through images, containers or folders' },
  { name: 'shell', summary: 'containers of your own to work in, with your home, and the machine under /host' },
  { name: 's2i', summary: 'images from sources, by builder images' },
  { name: 'registry', summary: 'a registry of your own, over the image store' },
  { name: 'trust', summary: 'which images are let in: keys, rules, and why one was refused' },
  { name: 'search', summary: 'look for images in all registries; results have their whole names' },
  { name: 'sign', summary: 'sign images of a registry, with GPG or a sigstore key' },
] as const;

export type VerbName = (typeof VERBS)[number]['name'];
