import { lstatSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type ImageSource, openSource, parseImageReference, readImage } from '@atomic/oci';
import { AtomicError, archiveEntries } from '@atomic/ostree';
import { type Bundle, checkBundlePath, readBundle } from './bundle.ts';

/** A bundle that can be read until it is disposed of. */
export interface OpenBundle extends AsyncDisposable {
  bundle: Bundle;
  /** Where its files are. */
  folder: string;
  /** Where it came from, to be asked again. */
  from: string;
}

export interface OpenBundleOptions {
  /** Opens an image by its reference or name: with the policy of whoever asks. Without, only what is no registry's. */
  open?: ((reference: string) => Promise<ImageSource>) | undefined;
  /** Folder for what is unpacked; the system's for temporary files by default. */
  scratch?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** The label of an image that is an app. */
export const APP_LABEL = 'io.atomic.app';
/** The folder of a bundle in its image. */
export const APP_FOLDER = 'app';
const MAX_BUNDLE = 8 * 1024 ** 3;
const MAX_ENTRIES = 2000;

/** What is no path and no reference is a name in a registry. */
export function bundleReference(source: string): { kind: 'folder'; path: string } | { kind: 'image'; text: string } {
  try {
    if (lstatSync(source).isDirectory()) return { kind: 'folder', path: source };
  } catch {
    // It is somewhere else.
  }
  if (
    /^[a-z-]+:/.test(source) &&
    /^(oci|oci-archive|docker-archive|docker-daemon|containers-storage|dir|docker|registry):/.test(source)
  ) {
    return { kind: 'image', text: source };
  }
  if (/^[./]/.test(source)) throw new AtomicError('not-found', `${source} is no folder`);
  return { kind: 'image', text: source };
}

/**
 * Opens a bundle: a folder, or an OCI artifact in a layout, an archive or a registry. Its content comes from others:
 * only files with a place in a bundle are unpacked, by names that cannot lead elsewhere. Throws `invalid`, `not-found`.
 */
export async function openBundle(source: string, options: OpenBundleOptions = {}): Promise<OpenBundle> {
  const reference = bundleReference(source);
  if (reference.kind === 'folder') {
    const { resolve } = await import('node:path');
    const folder = resolve(reference.path);
    return { bundle: readBundle(folder), folder, from: folder, [Symbol.asyncDispose]: async () => {} };
  }
  const folder = mkdtempSync(join(options.scratch ?? tmpdir(), 'atomic-app-'));
  const dispose = async (): Promise<void> => rmSync(folder, { recursive: true, force: true });
  try {
    await unpack(reference.text, folder, options);
    return { bundle: readBundle(folder), folder, from: reference.text, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function unpack(text: string, folder: string, options: OpenBundleOptions): Promise<void> {
  const { open = async () => await openSource(parseImageReference(text), options), signal } = options;
  await using image = await open(text);
  const { manifest, config } = await readImage(image);
  if (config.config?.Labels?.[APP_LABEL] === undefined) {
    throw new AtomicError('invalid', `${text} is an image, but no app`, {
      hint: `atomic app pack makes one; its label is ${APP_LABEL}`,
    });
  }
  let entries = 0;
  let bytes = 0;
  for (const layer of manifest.layers) {
    for await (const entry of archiveEntries(image.blob(layer, signal))) {
      const path = entry.path.replace(/^\.?\/+/, '').replace(/\/$/, '');
      if (++entries > MAX_ENTRIES) throw new AtomicError('invalid', `${text} has more than ${MAX_ENTRIES} entries`);
      if (entry.type === 'directory') continue;
      if (entry.type !== 'file' || !path.startsWith(`${APP_FOLDER}/`)) {
        throw new AtomicError('invalid', `${text}: ${JSON.stringify(entry.path)} has no place in an app`);
      }
      bytes += entry.size;
      if (bytes > MAX_BUNDLE) throw new AtomicError('invalid', `${text} is larger than 8 GiB`);
      const target = join(folder, checkBundlePath(path.slice(APP_FOLDER.length + 1)));
      mkdirSync(dirname(target), { recursive: true });
      await writeFile(target, entry.content, { mode: (entry.mode & 0o100) === 0 ? 0o644 : 0o755, flag: 'wx' });
    }
  }
}
