import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { quadletType } from '../quadlet/unit-names.ts';
import { type AppManifest, MANIFEST, parseManifest } from './manifest.ts';

/** A file of a bundle. */
export interface BundleFile {
  content: Buffer;
  executable: boolean;
}

/** An app as its author gives it away: a manifest, quadlets, units, configuration, and images where it brings them. */
export interface Bundle {
  manifest: AppManifest;
  /** By their path in the bundle, sorted. */
  files: ReadonlyMap<string, BundleFile>;
  /** `sha256:` over all of them: the same files, the same digest. */
  digest: string;
  /** Archives of images (docker save), by their path in the bundle; not in `files`, they may be large. */
  archives: readonly string[];
}

const MAX_FILES = 1000;
const MAX_FILE = 4 << 20;
const UNIT = /\.(service|socket|timer|path|target|mount|automount|slice)$/;

/** Whether a path may be in a bundle; it comes from others. */
export function checkBundlePath(path: string): string {
  const parts = path.split('/');
  const good = parts.every((part) => /^[A-Za-z0-9_@][A-Za-z0-9_.@+:%-]*$/.test(part)) && path.length < 200;
  const [folder = '', name = ''] = parts;
  const known =
    path === MANIFEST ||
    (parts.length === 1 && /^(README|LICENSE|CHANGES)(\.[a-z]+)?$/.test(path)) ||
    (folder === 'quadlets' && parts.length === 2 && quadletType(name) !== undefined) ||
    (folder === 'quadlets' && parts.length === 3 && /\.d$/.test(name) && /\.conf$/.test(path)) ||
    (folder === 'units' && parts.length === 2 && UNIT.test(name)) ||
    (folder === 'config' && parts.length > 1) ||
    (folder === 'images' && parts.length === 2 && /\.tar$/.test(name));
  if (good && known) return path;
  throw new AtomicError('invalid', `the bundle has ${JSON.stringify(path)}, which has no place in one`, {
    hint: `${MANIFEST}, quadlets/NAME.TYPE[.d/*.conf], units/NAME.service…, config/…, images/NAME.tar`,
  });
}

/** Puts a bundle together from its files. Throws `invalid`. */
export function makeBundle(found: ReadonlyMap<string, BundleFile>, archives: readonly string[] = []): Bundle {
  const files = new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
  if (files.size > MAX_FILES) throw new AtomicError('invalid', `the bundle has more than ${MAX_FILES} files`);
  for (const [path, { content }] of files) {
    checkBundlePath(path);
    if (content.length > MAX_FILE) throw new AtomicError('invalid', `${path} of the bundle is larger than 4 MiB`);
  }
  const manifest = files.get(MANIFEST);
  if (manifest === undefined) throw new AtomicError('invalid', `the bundle has no ${MANIFEST}`);
  const hash = createHash('sha256');
  for (const [path, { content, executable }] of files) {
    hash.update(`${path}\0${executable ? 'x' : '-'}\0${content.length}\0`).update(content);
  }
  for (const path of archives) hash.update(`${path}\0`);
  return {
    manifest: parseManifest(manifest.content.toString('utf8')),
    files,
    digest: `sha256:${hash.digest('hex')}`,
    archives: [...archives].sort(),
  };
}

/** Reads a bundle's folder. Throws `invalid`, `not-found`. */
export function readBundle(folder: string): Bundle {
  const files = new Map<string, BundleFile>();
  const archives: string[] = [];
  const walk = (at: string): void => {
    for (const name of readdirSync(join(folder, at))) {
      if (name.startsWith('.')) continue;
      const path = at === '' ? name : `${at}/${name}`;
      const stat = lstatSync(join(folder, path));
      if (stat.isDirectory()) walk(path);
      else if (!stat.isFile()) throw new AtomicError('invalid', `${path} of the bundle is neither a file nor a folder`);
      else if (path.startsWith('images/')) archives.push(checkBundlePath(path));
      else files.set(path, { content: readFileSync(join(folder, path)), executable: (stat.mode & 0o100) !== 0 });
    }
  };
  try {
    walk('');
  } catch (error) {
    if (error instanceof AtomicError) throw error;
    throw new AtomicError('not-found', `${folder} cannot be read as a bundle: ${String(error)}`, { cause: error });
  }
  return makeBundle(files, archives);
}
