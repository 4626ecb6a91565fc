import { chmodSync, chownSync, constants, copyFileSync, lstatSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
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
  const files = privilegedFiles(repo, image);
  if (files.length === 0) return;
  // Copies are made beside the tree: in it, the image may have put anything under any name.
  const aside = mkdtempSync(join(dirname(folder), '.privileged-'));
  try {
    for (const { path, checksum } of files) grant(repo, { checksum, path, folder, aside: join(aside, 'file') });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
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
function grant(repo: Repo, of: { checksum: Checksum; path: string; folder: string; aside: string }): void {
  const { checksum, path, folder, aside } = of;
  const { header } = repo.loadFile(checksum);
  const privileges = privilegesOf(header);
  if (privileges === undefined) throw corrupt(`${path}: its object says nothing of privileges`);
  const place = placeIn(folder, path);
  copyFileSync(place, aside, constants.COPYFILE_EXCL);
  chownSync(aside, header.uid, header.gid);
  for (const { name, value } of keptXattrs(header.xattrs)) lsetxattr(aside, name, value);
  chmodSync(aside, privileges.mode);
  if (privileges.capability !== undefined) lsetxattr(aside, 'security.capability', privileges.capability);
  renameSync(aside, place);
}

/** Where a file of a tree is. Throws `failed` where a link stands on the way, or something else than that file. */
function placeIn(folder: string, path: string): string {
  const names = pathNames(path);
  let place = folder;
  for (const [i, name] of names.entries()) {
    place = join(place, name);
    const stat = lstatSync(place, { throwIfNoEntry: false });
    if (i === names.length - 1 ? stat?.isFile() : stat?.isDirectory()) continue;
    throw new AtomicError('failed', `${place} is no ${i === names.length - 1 ? 'file' : 'folder'} any more`);
  }
  return place;
}
