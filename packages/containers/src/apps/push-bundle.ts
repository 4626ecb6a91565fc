import { lstatSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatImageName, parseImageName } from '@atomic/oci';
import { runProgram } from '@atomic/ostree';
import { packBundle } from './pack-bundle.ts';

export interface PushBundleOptions {
  /** Credentials (containers-auth.json(5)). */
  authFile?: string | undefined;
  /** False for a registry that has no certificate. */
  tlsVerify?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

const isFolder = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

/**
 * Pushes a bundle, from its folder or packed (`oci:…`), under a name in a registry; without a tag it gets the version as
 * its tag. By skopeo, with its configuration of registries.
 */
export async function pushBundle(
  source: string,
  name: string,
  { authFile, tlsVerify = true, signal }: PushBundleOptions = {},
): Promise<{ name: string; digest: string }> {
  const scratch = mkdtempSync(join(tmpdir(), 'atomic-app-'));
  try {
    let from = source;
    const target = parseImageName(name);
    let tag = target.tag;
    if (isFolder(source)) {
      const packed = await packBundle(source, join(scratch, 'layout'));
      from = `oci:${join(scratch, 'layout')}:${packed.tag}`;
      tag ??= packed.tag;
    }
    const to = formatImageName({ ...target, tag: tag ?? 'latest' });
    const digests = join(scratch, 'digest');
    const auth = authFile === undefined ? [] : ['--authfile', authFile];
    const options = ['--quiet', `--digestfile=${digests}`, `--dest-tls-verify=${tlsVerify}`, ...auth];
    await runProgram('skopeo', ['copy', ...options, from, `docker://${to}`], {
      signal,
    });
    return { name: to, digest: readFileSync(digests, 'utf8').trim() };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
