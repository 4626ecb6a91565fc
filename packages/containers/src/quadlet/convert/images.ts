import { quoteWords } from '../words.ts';
import { engine, extraWords, networkWords, oneshot, standsAlone, volumeWords, workingDirectory } from './common.ts';
import { type Conversion, refuse, text } from './conversion.ts';
import { each, flag, pairs, type Row, rowWords, value, words } from './rows.ts';

const REGISTRY: readonly Row[] = [
  value('AuthFile', '--authfile'),
  value('CertDir', '--cert-dir'),
  value('Creds', '--creds'),
  value('DecryptionKey', '--decryption-key'),
  value('Retry', '--retry'),
  value('RetryDelay', '--retry-delay'),
];

const PULL: readonly Row[] = [
  value('Arch', '--arch'),
  value('OS', '--os'),
  value('Policy', '--policy'),
  value('Variant', '--variant'),
  flag('AllTags', '--all-tags'),
];

const TLS: Row = flag('TLSVerify', '--tls-verify');

/** An `.image`: a service that pulls it. */
export function convertImage(conversion: Conversion): void {
  const image = text(conversion, 'Image');
  if (image === undefined) throw refuse('no Image key specified');
  const pull = engine(conversion, 'image', 'pull', ...rowWords(conversion, [...REGISTRY, ...PULL, TLS]));
  conversion.unit.add('Service', 'ExecStart', quoteWords([...pull, ...extraWords(conversion), image]));
  oneshot(conversion, true);
  conversion.info.resource = text(conversion, 'ImageTag') ?? image;
}

/** An `.artifact`: a service that pulls it. */
export function convertArtifact(conversion: Conversion): void {
  const artifact = text(conversion, 'Artifact');
  if (artifact === undefined) throw refuse('no Artifact key specified');
  const rows = [...REGISTRY, flag('Quiet', '--quiet'), TLS];
  const pull = engine(conversion, 'artifact', 'pull', ...rowWords(conversion, rows));
  conversion.unit.add('Service', 'ExecStart', quoteWords([...pull, ...extraWords(conversion), artifact]));
  oneshot(conversion, true);
  conversion.info.resource = artifact;
}

const BUILD: readonly Row[] = [
  // Without the equals sign podman takes the value for the context.
  value('Pull', (policy) => [`--pull=${policy}`]),
  value('Arch', '--arch'),
  value('AuthFile', '--authfile'),
  value('IgnoreFile', '--ignorefile'),
  value('Target', '--target'),
  value('Variant', '--variant'),
  value('Retry', '--retry'),
  value('RetryDelay', '--retry-delay'),
  TLS,
  flag('ForceRM', '--force-rm'),
  each('DNS', '--dns'),
  each('DNSOption', '--dns-option'),
  each('DNSSearch', '--dns-search'),
  each('GroupAdd', '--group-add'),
  each('ImageTag', '--tag'),
  pairs('BuildArg', '--build-arg'),
  pairs('Environment', '--env'),
  pairs('Label', '--label'),
  pairs('Annotation', '--annotation'),
];

/** A `.build`: a service that builds an image from a file, a folder or a URL. */
export function convertBuild(conversion: Conversion): void {
  const { unit, info } = conversion;
  if (info.resource === '') throw refuse('no ImageTag key specified');
  const build = engine(conversion, 'build', ...rowWords(conversion, BUILD), ...networkWords(conversion));
  build.push(...rowWords(conversion, [words('Secret', '--secret')]), ...volumeWords(conversion));
  const context = workingDirectory(conversion);
  const folder = unit.value('Service', 'WorkingDirectory') ?? '';
  const file = text(conversion, 'File') ?? '';
  if (folder === '' && file === '' && context === '') {
    throw refuse('neither SetWorkingDirectory, nor File key specified');
  }
  if (file !== '') build.push('--file', file);
  build.push(...extraWords(conversion));
  // The context is always the last word.
  if (context !== '') build.push(context);
  else if (!standsAlone(file)) {
    if (folder === '') throw refuse('relative path in File key requires SetWorkingDirectory key to be set');
    build.push(folder);
  }
  unit.add('Service', 'ExecStart', quoteWords(build));
  oneshot(conversion, false);
}
