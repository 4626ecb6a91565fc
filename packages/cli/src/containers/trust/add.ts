import type { TrustAddOptions } from '@atomic/containers';
import { AtomicError } from '@atomic/ostree';
import { type Command, Option } from 'commander';
import { collect, containerAction } from '../common.ts';
import {
  addTrustVerb,
  IDENTITY_HELP,
  parseIdentity,
  pathsOf,
  scopeOf,
  type TrustPathOptions,
  transportOf,
} from './common.ts';

interface AddOptions extends TrustPathOptions {
  pubkeys: string[];
  type?: string;
  keyType?: string;
  identity?: string;
  lookaside?: string;
  sigstore?: string;
  lookasideStaging?: string;
  attachments?: boolean;
  transport?: string;
  sigstoretype?: string;
  keyDir: string;
  force?: boolean;
}

const TYPES = ['signedBy', 'sigstoreSigned', 'insecureAcceptAnything', 'reject'] as const;

/** Adds `atomic trust add`. */
export function register(trust: Command): void {
  addTrustVerb(trust, 'add', 'say what images of a registry, namespace or repository must have', [
    'atomic trust add registry.example/ns --pubkeys /etc/pki/containers/vendor.gpg',
    'atomic trust add registry.example --pubkeys vendor@example.org   a key of your own keyring, exported',
    'atomic trust add registry.example --key-type sigstore --pubkeys cosign.pub',
    'atomic trust add registry.example --type reject',
    'atomic trust add mirror.example/vendor --pubkeys vendor.gpg --identity remapIdentity=mirror.example/vendor=vendor.example',
  ])
    .argument('<scope>', "registry, namespace, repository or image; '' for all of the transport")
    .option(
      '-k, --pubkeys <file>',
      'file of public keys that may sign (or a key of your keyring); may be repeated',
      collect,
      [],
    )
    .addOption(
      new Option(
        '-t, --type <type>',
        'what is required (default: signedBy, or sigstoreSigned with --key-type sigstore)',
      ).choices(TYPES),
    )
    .addOption(new Option('--key-type <type>', 'kind of the keys').choices(['gpg', 'sigstore', 'GPGKeys']))
    .addOption(new Option('--keytype <type>').choices(['GPGKeys']).hideHelp())
    .option('--identity <identity>', `which image a signature must be about: ${IDENTITY_HELP}`)
    .option('--lookaside <url>', 'where signatures are read (http, https or file)')
    .option('--lookaside-staging <url>', 'where `atomic sign` writes them (file)')
    .option('--attachments', 'use signatures that lie beside images in the registry (sigstore)')
    .option('--no-attachments', 'do not use those')
    .option('--transport <name>', 'docker (registries), atomic, dir, oci, docker-daemon … (default: docker)')
    .option('-f, --force', 'replace the rule that is there')
    .option('--key-dir <folder>', 'where exported keys are written', '/etc/pki/containers')
    .addOption(new Option('-s, --sigstore <url>', 'old name of --lookaside').hideHelp())
    .addOption(new Option('--sigstoretype <type>', 'old names of transports: web, local, atomic').hideHelp())
    .action(
      containerAction(async (ctx, text: string, options: AddOptions) => {
        const transport = transportOf(options);
        const scope = await scopeOf(text, transport);
        const sigstore = options.keyType === 'sigstore';
        const type = TYPES.find((one) => one === options.type) ?? (sigstore ? 'sigstoreSigned' : 'signedBy');
        const lookaside = options.lookaside ?? options.sigstore;
        const places = { lookaside, staging: options.lookasideStaging, attachments: attachmentsOf(options, type) };
        const hasPlaces = Object.values(places).some((value) => value !== undefined);
        if (hasPlaces && (transport !== 'docker' || scope === '')) {
          throw new AtomicError('usage', 'only scopes of docker: have places for signatures');
        }
        const request: TrustAddOptions = {
          paths: await pathsOf(options),
          transport,
          scope,
          type,
          keys: options.pubkeys,
          keyFolder: options.keyDir,
          identity: options.identity === undefined ? undefined : parseIdentity(options.identity),
          places: hasPlaces ? places : undefined,
          force: options.force,
          lock: { wait: ctx.wait, onWait: ctx.onWait, signal: ctx.signal },
          signal: ctx.signal,
        };
        const { addTrust } = await import('@atomic/containers');
        const done = await addTrust(request);
        if (ctx.json) return ctx.printJson({ transport, scope, type, ...done });
        for (const key of done.keys) ctx.print(`key      ${key}`);
        for (const file of done.files) ctx.print(`written  ${file}`);
        if (!done.changed) ctx.print('nothing to do: the rule is there already');
      }),
    );
}

/** Sigstore signatures lie beside images, so they are looked for there unless that is said not to be. */
function attachmentsOf(options: AddOptions, type: (typeof TYPES)[number]): boolean | undefined {
  return options.attachments ?? (type === 'sigstoreSigned' && transportOf(options) === 'docker' ? true : undefined);
}
