import { chmodSync, chownSync, copyFileSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { lsetxattr, throughMountOf } from '@atomic/linux';
import { AtomicError, type Checksum, checkout, corrupt, type Progress, pathNames, type Repo } from '@atomic/ostree';
import { z } from 'zod';
import { keptXattrs, privilegesOf } from './privileges.ts';
import { type StoredImage, sideFile } from './stored-image.ts';

export interface CheckoutImageOptions {
  /** Without owners and privileges, for who is not root. */
  user?: boolean | undefined;
  /** Copies, not links: files may be written to. */
  forceCopy?: boolean | undefined;
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

const listing = z.array(z.object({ path: z.string(), checksum: z.string().regex(/^[0-9a-f]{64}$/) }));

/** See {@link ImageStore.checkout}. */
export async function checkoutImage(
  repo: Repo,
  image: StoredImage,
  folder: string,
  options: CheckoutImageOptions,
): Promise<void> {
  const { user, forceCopy, signal, progress } = options;
  // Where /var is a mount of its own, links are made by the way that leads there from the repository.
  const beside = forceCopy ? null : throughMountOf(dirname(folder), repo.path);
  const place = beside === null ? folder : join(beside, basename(folder));
  await checkout(repo, image.commit, place, {
    ...{ subpath: '/rootfs', user, forceCopy, linkEmpty: true, signal, progress },
  });
  if (user || repo.mode !== 'bare') return;
  try {
    for (const { path, checksum } of privilegedFiles(repo, image)) grant(repo, checksum, path, folder);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** The files of an image that have privileges: paths in its root, and their objects. Throws `corrupt`. */
export function privilegedFiles(repo: Repo, { commit, name }: StoredImage): { path: string; checksum: Checksum }[] {
  const bytes = sideFile(repo, commit, 'privileged');
  if (bytes === undefined) return [];
  const parsed = listing.safeParse(JSON.parse(bytes.toString('utf8')));
  if (!parsed.success) throw corrupt(`the stored image ${name} has a damaged list of privileged files`);
  return parsed.data;
}

/** Puts a copy with its privileges in the place of the link to an object, which never has any. */
function grant(repo: Repo, checksum: Checksum, path: string, folder: string): void {
  const { header } = repo.loadFile(checksum);
  const privileges = privilegesOf(header);
  if (privileges === undefined) throw corrupt(`${path}: its object says nothing of privileges`);
  const place = join(folder, ...pathNames(path));
  if (!lstatSync(place).isFile()) throw new AtomicError('failed', `${place} is no file any more`);
  const aside = `${place}.atomic-new`;
  try {
    copyFileSync(place, aside);
    chownSync(aside, header.uid, header.gid);
    for (const { name, value } of keptXattrs(header.xattrs)) lsetxattr(aside, name, value);
    chmodSync(aside, privileges.mode);
    if (privileges.capability !== undefined) lsetxattr(aside, 'security.capability', privileges.capability);
    renameSync(aside, place);
  } finally {
    rmSync(aside, { force: true });
  }
}
