import { z } from 'zod';

/** One installation of an image by its labels; one file each. */
export const installRecord = z.object({
  version: z.literal(1),
  /** Of the container. */
  name: z.string().min(1),
  /** As the engine names the image. */
  image: z.string().min(1),
  /** Of the image's configuration; a short name and a long one are the same installation by this. '' when unknown. */
  imageId: z.string(),
  backend: z.enum(['docker', 'podman']),
  /** ISO 8601. */
  date: z.string(),
  /** `installing`: the command has begun; it was cut off when nothing runs. */
  state: z.enum(['installing', 'installed']),
  /** The image's label, kept for the day the image is gone. */
  uninstall: z.string().optional(),
});
export type InstallRecord = z.output<typeof installRecord>;

const legacyEntry = z.looseObject({
  id: z.string().default(''),
  container_name: z.string().nullish(),
  install_date: z.string().nullish(),
});

/** `install.json` of the original: image name → installations, or in its older form the only one. */
export const legacyFile = z.record(z.string(), z.array(legacyEntry).or(legacyEntry));

/** What the original noted, in our form. */
export function fromLegacy(file: z.output<typeof legacyFile>): InstallRecord[] {
  return Object.entries(file).flatMap(([image, entries]) =>
    (Array.isArray(entries) ? entries : [entries]).map(({ id, container_name, install_date }): InstallRecord => {
      const time = new Date(install_date ?? 0);
      return {
        version: 1,
        name: container_name ?? containerName(image),
        image,
        imageId: id === '' || id.startsWith('sha256:') ? id : `sha256:${id}`,
        backend: 'docker',
        date: (Number.isNaN(time.getTime()) ? new Date(0) : time).toISOString(),
        state: 'installed',
      };
    }),
  );
}

/** The name a container of an image gets when none is given: the last part of the image's, without tag and digest. */
export function containerName(image: string): string {
  const name = image.replace(/@.*$/, '').replace(/^.*\//, '').replace(/:.*$/, '');
  return name === '' ? 'container' : name;
}
