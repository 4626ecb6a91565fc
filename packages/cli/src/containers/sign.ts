import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { type Command, Option } from 'commander';
import { VERSION } from '../version.ts';
import { add, containerAction } from './common.ts';
import { type RegistryAccessOptions, registryAccess, withRegistryAccess } from './registry-access.ts';
import { pathsOf, type TrustPathOptions, withTrustPaths } from './trust/common.ts';

interface SignOptions extends TrustPathOptions, RegistryAccessOptions {
  signBy?: string;
  sigstoreKey?: string;
  passphraseFile?: string;
  signatureDir?: string;
  directory?: string;
  gnupghome?: string;
  identity?: string;
  generateKey?: string;
}

/** Adds `atomic sign`. */
export function register(program: Command): void {
  const verb = add(program, 'sign', 'sign images of a registry, with GPG or a sigstore key', [
    'atomic sign --sign-by me@example.org registry.example/app:1',
    'atomic sign --sigstore-key release.key registry.example/app:1   beside the image, in its registry',
    'atomic sign --generate-key release                               release.key and release.pub',
  ]);
  withTrustPaths(withRegistryAccess(verb))
    .argument('[images...]', 'names with tags; what is signed is what the tag means now')
    .option('--sign-by <key>', 'fingerprint or mail address of your GPG key')
    .option('--sigstore-key <file>', 'private key (PEM of openssl, or of cosign)')
    .option('--passphrase-file <file>', 'the passphrase of the key is in this file')
    .option(
      '-d, --signature-dir <folder>',
      'write GPG signatures below this folder (default: lookaside-staging in registries.d)',
    )
    .option('-g, --gnupghome <folder>', 'your GnuPG folder (default: GNUPGHOME, or ~/.gnupg)')
    .option('--identity <name>', 'sign it as this name instead of its own')
    .option('--generate-key <prefix>', 'make a key pair for sigstore signatures: PREFIX.key and PREFIX.pub')
    .addOption(new Option('--directory <folder>', 'old name of --signature-dir').hideHelp())
    .addHelpText(
      'after',
      `
GPG signatures are files: publish the folder they are written to where lookaside in registries.d points. Podman, skopeo
and \`atomic\` take both kinds, by policy.json: atomic trust add SCOPE --pubkeys FILE.`,
    )
    .action(
      containerAction(async (ctx, images: string[], options: SignOptions) => {
        const passphrase = options.passphraseFile === undefined ? undefined : readPassphrase(options.passphraseFile);
        if (options.generateKey !== undefined) {
          const made = await generateKey(options.generateKey, passphrase);
          if (ctx.json) ctx.printJson(made);
          else for (const file of made.files) ctx.print(`written  ${file}`);
          if (images.length === 0) return;
        }
        if (images.length === 0) throw new AtomicError('usage', 'no image is named');
        if (options.signBy === undefined && options.sigstoreKey === undefined) {
          throw new AtomicError('usage', 'no key is named', { hint: 'add --sign-by KEY or --sigstore-key FILE' });
        }
        const { readSigningKey, signImage } = await import('@atomic/containers');
        const { sigstoreKey: file } = options;
        const sigstoreKey = file === undefined ? undefined : readSigningKey(readFileSync(file), file, passphrase);
        const gpg =
          options.signBy === undefined
            ? undefined
            : { key: options.signBy, homedir: options.gnupghome, passphraseFile: options.passphraseFile };
        const results = [];
        for (const image of images) {
          const result = await signImage({
            image,
            gpg,
            sigstoreKey,
            identity: options.identity,
            signatureFolder: options.signatureDir ?? options.directory,
            paths: await pathsOf(options),
            access: await registryAccess(options),
            creator: `atomic ${VERSION}`,
            now: Math.floor(Date.now() / 1000),
            signal: ctx.signal,
          });
          results.push(result);
          if (ctx.json) continue;
          ctx.print(`${result.identity}`);
          for (const { digest, kind, place } of result.signatures)
            ctx.print(`  ${kind.padEnd(8)}  ${digest}\n            ${place}`);
          if (result.attachmentsUnused) {
            ctx.warn(
              `note: readers look for it once registries.d says so: atomic trust add ${image.replace(/:[^/:]*$/, '')} --key-type sigstore --pubkeys KEY.pub`,
            );
          }
        }
        if (ctx.json) ctx.printJson(results);
      }),
    );
}

const readPassphrase = (file: string): Buffer => Buffer.from(readFileSync(file, 'utf8').replace(/\r?\n$/, ''));

async function generateKey(prefix: string, passphrase: Buffer | undefined): Promise<{ files: string[] }> {
  if (passphrase === undefined) {
    throw new AtomicError('usage', 'a key needs a passphrase', {
      hint: 'name the file that holds it: --passphrase-file',
    });
  }
  const { makeCosignKey } = await import('@atomic/containers');
  const { writeFileSync } = await import('node:fs');
  const { privateKey, publicKey } = makeCosignKey(passphrase);
  const files = [`${prefix}.key`, `${prefix}.pub`];
  try {
    // A key that is there is somebody's: it is never written over.
    writeFileSync(`${prefix}.key`, privateKey, { mode: 0o600, flag: 'wx' });
    writeFileSync(`${prefix}.pub`, publicKey, { mode: 0o644, flag: 'wx' });
  } catch (cause) {
    throw new AtomicError('exists', `the key was not written: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
  return { files };
}
