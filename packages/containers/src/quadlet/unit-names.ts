import { extname } from 'node:path';

/** Types of sources, with the order they are worked through in: what names a resource comes before what uses it. */
const ORDER = { artifact: 1, image: 1, network: 2, volume: 2, build: 3, container: 4, kube: 4, pod: 5 } as const;
export type QuadletType = keyof typeof ORDER;
export const QUADLET_TYPES: readonly QuadletType[] = [
  'container',
  'volume',
  'network',
  'pod',
  'kube',
  'image',
  'build',
  'artifact',
];

/** The group that a type's own keys stand in. */
export const GROUP_OF = {
  artifact: 'Artifact',
  image: 'Image',
  network: 'Network',
  volume: 'Volume',
  build: 'Build',
  container: 'Container',
  kube: 'Kube',
  pod: 'Pod',
} as const satisfies Record<QuadletType, string>;

/** The type of a file by its name; undefined when it is no source. */
export function quadletType(name: string): QuadletType | undefined {
  // A name that is nothing but the suffix counts too.
  const suffix = name.startsWith('.') && !name.slice(1).includes('.') ? name : extname(name);
  return QUADLET_TYPES.find((type) => suffix === `.${type}`);
}

export const typeOrder = (type: QuadletType): number => ORDER[type];

/** A file name without its suffix. */
export function stem(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(0, dot) : name;
}

/** `name@instance` of a file name; `instance` is empty for the template itself and undefined for what is none. */
export function templateParts(name: string): { base: string; instance: string | undefined } {
  const whole = stem(name);
  const at = whole.indexOf('@');
  return at === -1 ? { base: whole, instance: undefined } : { base: whole.slice(0, at), instance: whole.slice(at + 1) };
}

/**
 * Folders of drop-ins for a source, most specific first: `foo-bar.container.d`, its template's, those of each shorter
 * name at a dash (`foo-.container.d`), and the type's own (`container.d`).
 */
export function dropInFolders(name: string): string[] {
  const { base, instance } = templateParts(name);
  const suffix = `.${quadletType(name) ?? extname(name).slice(1)}`;
  const folders = [`${suffix.slice(1)}.d`];
  const parts = base.split('-');
  for (let count = 1; count < parts.length; count++) {
    const shorter = `${parts.slice(0, count).join('-')}-`;
    folders.push(`${shorter}${suffix}.d`);
    if (instance !== undefined) folders.push(`${shorter}@${suffix}.d`);
  }
  if (instance !== undefined && instance !== '') folders.push(`${base}@${suffix}.d`);
  folders.push(`${name}.d`);
  return folders.reverse();
}
