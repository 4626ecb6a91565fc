import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import type { SystemManifest } from './manifest.ts';
import { renderTemplate } from './template.ts';

/** A file for the host, as a lifecycle wants it. */
export interface StagedFile {
  path: string;
  source: string;
  managed: boolean;
}

const HOSTFS = 'exports/hostfs';

/** Every file and symlink below a folder, relative to it; links are not followed. */
function* filesBelow(folder: string, path = ''): Generator<string> {
  for (const entry of readdirSync(join(folder, path), { withFileTypes: true })) {
    const below = `${path}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(folder, below);
    else if (entry.isFile() || entry.isSymbolicLink()) yield below;
  }
}

/**
 * What of the image is for the host: the files of /exports/hostfs, renamed and filled in as the manifest says. `folder`
 * is the deployment's, `values` those of the variables. Throws `invalid`.
 */
export function stageHostFiles(
  folder: string,
  manifest: SystemManifest,
  values: ReadonlyMap<string, string>,
): { files: StagedFile[]; notes: string[] } {
  const root = join(folder, 'rootfs', HOSTFS);
  // A link on the way could lead out of the image, into the machine.
  const way = [dirname(root), root].map((path) => lstatSync(path, { throwIfNoEntry: false }));
  if (way.some((stat) => stat?.isDirectory() !== true)) return { files: [], notes: [] };
  const templates = new Set(manifest.installedFilesTemplate);
  const notes: string[] = [];
  const files = [...filesBelow(root)].map((path): StagedFile => {
    const renamed = manifest.renameFiles[path];
    const target =
      renamed === undefined
        ? path
        : renderTemplate(renamed, values, { file: 'manifest.json: renameFiles', kind: 'line' });
    if (!target.startsWith('/') || target.split('/').some((part) => part === '..' || part === '.')) {
      throw new AtomicError('invalid', `manifest.json: renameFiles: '${target}' is not an absolute path`);
    }
    const stat = lstatSync(join(root, path));
    if (stat.isFile() && (stat.mode & 0o6000) !== 0) notes.push(`${target}: runs as its owner for everybody (set-id)`);
    if (!templates.has(path) || !stat.isFile()) {
      return { path: target, source: `rootfs/${HOSTFS}${path}`, managed: false };
    }
    const filled = join(folder, 'hostfs', path);
    mkdirSync(dirname(filled), { recursive: true });
    const text = readFileSync(join(root, path), 'utf8');
    writeFileSync(filled, renderTemplate(text, values, { file: `hostfs${path}`, kind: 'line' }));
    chownSync(filled, stat.uid, stat.gid);
    chmodSync(filled, stat.mode & 0o7777);
    return { path: target, source: `hostfs${path}`, managed: false };
  });
  return { files, notes };
}
