import type { MadeSignature } from '@atomic/containers';
import { type Command, Option } from 'commander';
import type { Context } from '../context.ts';
import { add, containerAction } from './common.ts';
import { terminalAsk } from './prompt.ts';
import { withRegistryAccess } from './registry-access.ts';
import { openStore, type ReachOptions, reachOf } from './store.ts';
import { withTrustPaths } from './trust/common.ts';

interface PushFlags extends ReachOptions {
  compress: string;
  sameDigest?: boolean;
  yes?: boolean;
  signBy?: string;
  gnupghome?: string;
  username?: string;
  password?: string;
  anonymous?: boolean;
  insecure?: boolean;
  verify_ssl?: boolean;
}

const COMPRESSIONS = ['gzip', 'zstd', 'none'] as const;

/** Adds `atomic push`. */
export function register(program: Command): void {
  const push = add(program, 'push', 'write an image of the object store to a registry or a file', [
    'atomic push registry.example/app:1.2',
    'atomic push app docker://registry.example/group/app:1.2',
    'atomic push app oci-archive:app.ociarchive',
    'atomic push app docker-daemon:app:latest       also oci:, docker-archive:',
  ]);
  withTrustPaths(withRegistryAccess(push))
    .argument('<image>', 'the image')
    .argument('[target]', 'where to (default: by its name)')
    .option('--compress <how>', 'layers whose packed form was not kept: gzip, zstd or none', 'gzip')
    .option('-y, --yes', 'though the policy for pushes would ask')
    .option('--same-digest', 'fail where the image would get another digest than it came with')
    .option('--sign-by <key>', 'sign it then with this GPG key, as `atomic sign` does')
    .option('-g, --gnupghome <folder>', 'your GnuPG folder (default: GNUPGHOME, or ~/.gnupg)')
    .addOption(new Option('-u, --username <user>').hideHelp())
    .addOption(new Option('-p, --password <password>').hideHelp())
    .addOption(new Option('--anonymous').hideHelp())
    .addOption(new Option('--insecure').hideHelp())
    .addOption(new Option('--verify_ssl').hideHelp())
    .addOption(new Option('-t, --type <kind>').choices(['docker']).hideHelp())
    .action(containerAction(pushAction));
}

/** What options of the original say of the registry. */
function reachedAs(flags: PushFlags): ReachOptions {
  const { username, password = '', anonymous, insecure, verify_ssl: verify } = flags;
  return {
    ...flags,
    ...(username === undefined ? {} : { creds: `${username}:${password}` }),
    ...(anonymous === true ? { authfile: '/dev/null' } : {}),
    ...(insecure === true ? { tlsVerify: 'false' } : verify === true ? { tlsVerify: 'true' } : {}),
  };
}

async function pushAction(ctx: Context, name: string, target: string | undefined, flags: PushFlags): Promise<void> {
  const { checkPush, fullName, loadPushPolicies, parseFullName, push, pushTarget, requirePush, storedConfig } =
    await import('@atomic/containers');
  const { formatImageName } = await import('@atomic/oci');
  const { AtomicError } = await import('@atomic/ostree');
  const compression = COMPRESSIONS.find((one) => one === flags.compress);
  if (compression === undefined)
    throw new AtomicError('usage', `--compress ${flags.compress}: must be ${COMPRESSIONS.join(', ')}`);
  const store = await openStore();
  const image = store.need(name);
  const place = pushTarget(target ?? image.name);
  const reach = await reachOf(reachedAs(flags));
  if (flags.signBy !== undefined && place.transport !== 'docker')
    throw new AtomicError('usage', `--sign-by: only images in a registry are signed, not ${place.transport}:`);
  if (place.transport === 'docker') {
    const labels = storedConfig(store.repo, image).config?.Labels ?? {};
    const verdict = checkPush(
      fullName(place.name),
      { names: [parseFullName(image.name)], labels },
      loadPushPolicies(reach.paths.pushPolicies),
    );
    await requirePush(fullName(place.name), verdict, { yes: flags.yes === true, ask: terminalAsk(ctx.signal) });
  }
  const report = await push(image, place, {
    store,
    ...reach,
    compression,
    sameDigest: flags.sameDigest,
    signal: ctx.signal,
    progress: ctx.progress,
  });
  const signed =
    flags.signBy === undefined || place.transport !== 'docker'
      ? undefined
      : await sign(ctx, formatImageName(place.name), flags, reach);
  if (ctx.json) {
    ctx.printJson({ image: image.name, ...report, ...(signed === undefined ? {} : { signatures: signed }) });
    return;
  }
  const { sent, there } = report.blobs;
  ctx.print(`${report.to}: ${sent} blobs sent, ${there} were there`);
  if (!report.sameDigest) ctx.warn(`packed anew, so its digest is another than ${image.digest}`);
  ctx.print(report.digest);
  for (const { place: at } of signed ?? []) ctx.print(`signed: ${at}`);
}

async function sign(
  ctx: Context,
  image: string,
  { signBy = '', gnupghome }: PushFlags,
  reach: Awaited<ReturnType<typeof reachOf>>,
): Promise<MadeSignature[]> {
  const { signImage } = await import('@atomic/containers');
  const { VERSION } = await import('../version.ts');
  const made = await signImage({
    image,
    gpg: { key: signBy, homedir: gnupghome, passphraseFile: undefined },
    paths: reach.paths,
    access: reach.access,
    creator: `atomic ${VERSION}`,
    now: Math.floor(Date.now() / 1000),
    signal: ctx.signal,
  });
  return made.signatures;
}
