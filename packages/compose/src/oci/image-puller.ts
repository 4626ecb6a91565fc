import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { openSource, parseImageReference, readImage } from '@atomic/oci';
import { AtomicError, type Checksum, isChecksum, type Repo, remoteVerifier } from '@atomic/ostree';
import type { ImageFacts, ImageOrigin, ImagePuller, ImagePullOptions, PulledImage } from '@atomic/sysroot';
import { z } from 'zod';
import { forgetImage, pullImage } from './import-image.ts';
import { COMMIT_LABEL, imageRef, VERSION_LABEL } from './labels.ts';

export interface ImagePullerOptions {
  /** The machine's policy; for tests. */
  policyFile?: string | undefined;
}

/** Credentials of the operating system itself, first found (rpm-ostree's docs/container.md, "Registry authentication"). */
const AUTH_FILES = ['/run/ostree/auth.json', '/etc/ostree/auth.json', '/usr/lib/ostree/auth.json'];
const POLICY_FILE = '/etc/containers/policy.json';

/** What brings the container images that hosts follow: those of {@link pullImage}. */
export function imagePuller({ policyFile = POLICY_FILE }: ImagePullerOptions = {}): ImagePuller {
  return {
    look: async ({ image }, { signal }): Promise<ImageFacts> => {
      // Whether it is trusted counts where it is pulled.
      await using source = await openSource(parseImageReference(image), {
        policy: 'ignored',
        authFile: auth(),
        signal,
      });
      const { digest, config } = await readImage(source);
      const labels = config.config?.Labels ?? {};
      const commit = labels[COMMIT_LABEL];
      if (commit === undefined || !isChecksum(commit))
        throw new AtomicError('invalid', `${image} holds no ostree commit: it has no label ${COMMIT_LABEL}`);
      const created = Date.parse(config.created ?? '');
      const timestamp = Number.isNaN(created) ? 0 : Math.floor(created / 1000);
      return { digest, version: labels[VERSION_LABEL] ?? labels['version'], timestamp, commit };
    },
    pull: async (repo, origin, options): Promise<PulledImage> => {
      const { image, trust } = origin;
      if (trust.kind === 'policy') requirePolicy(policyFile, origin);
      const { signal, progress } = options;
      // /tmp is memory on many a host.
      const scratch = join(repo.path, 'tmp');
      mkdirSync(scratch, { recursive: true });
      const { merged, digest, layers } = await pullImage({
        repo,
        source: image,
        open: { scratch, policy: trust.kind === 'policy' ? 'enforced' : 'ignored', authFile: auth() },
        ...(trust.kind === 'remote' ? { vouch: (commit) => vouch(repo, commit, trust.remote, options) } : {}),
        signal,
        progress,
      });
      return { commit: merged, digest, fetched: layers.fetched };
    },
    pulled: (repo, { image }) => repo.tryResolveRev(imageRef(image)),
    forget: (repo, { image }) => forgetImage(repo, image),
  };
}

const auth = (): string | undefined => AUTH_FILES.find((path) => existsSync(path));

const policySchema = z.object({ default: z.array(z.object({ type: z.string() })) });

/** Throws `invalid` where the machine's policy vouches for everything: then nothing is checked (as ostree-rs-ext does). */
function requirePolicy(path: string, { text }: ImageOrigin): void {
  const refuse = (why: string): AtomicError =>
    new AtomicError('invalid', `${text} is to be signed, but ${path} ${why}`, {
      hint: 'say there which keys count (containers-policy.json(5)), or take ostree-unverified-image:',
    });
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') throw refuse('is not there');
    throw refuse(`cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  const policy = policySchema.safeParse(data);
  if (!policy.success) throw refuse('has no default');
  if (policy.data.default.some(({ type }) => type === 'insecureAcceptAnything'))
    throw refuse('accepts anything by default');
}

/** Throws `invalid` unless the commit is signed as a remote asks for. */
async function vouch(repo: Repo, commit: Checksum, remote: string, options: ImagePullOptions): Promise<void> {
  const { trust, signal } = options;
  const verifier = remoteVerifier(repo, remote, { trust, signal });
  if (!verifier.commits)
    throw new AtomicError('invalid', `the remote '${remote}' asks for no signatures, so it vouches for no image`, {
      hint: `set gpg-verify or sign-verify of the remote, or take ostree-unverified-image:`,
    });
  await verifier.verifyCommit(commit, repo.loadObject('commit', commit), repo.readDetachedMetadata(commit));
}
