import { oneshot, standsAlone } from '../convert/common.ts';
import { absolutePath, type Conversion, refuse, text } from '../convert/conversion.ts';
import { cannot, requireHonoured } from '../convert/honoured.ts';
import { namedResource } from '../convert/resources.ts';
import { quoteWords } from '../words.ts';
import { WITHOUT_ENGINE } from './reasons.ts';

const VOLUME_KEYS = new Set(['Driver', 'GID', 'ServiceName', 'UID', 'VolumeName']);

/** A `.volume`: a folder among the state of containers. */
export function runcVolume(conversion: Conversion): void {
  requireHonoured(WITHOUT_ENGINE, conversion, VOLUME_KEYS, {
    Driver: (driver) => (driver === 'local' ? undefined : 'volumes are folders: local'),
  });
  const { source, group, unit, info, surroundings } = conversion;
  const name = namedResource(source, group, 'VolumeName');
  const owner = (['UID', 'GID'] as const).flatMap((key) => {
    const id = text(conversion, key);
    if (id === undefined) return [];
    if (!/^\d+$/.test(id)) throw refuse(`${key}=${id} is no number`);
    return [`--${key.toLowerCase()}=${id}`];
  });
  unit.add('Service', 'ExecStart', quoteWords([surroundings.program, 'quadlet', 'volume', ...owner, '--', name]));
  oneshot(conversion, true);
  info.resource = name;
}

const IMAGE_KEYS = new Set([
  ...['Arch', 'AuthFile', 'CertDir', 'Creds', 'Image', 'ImageTag', 'OS', 'Policy', 'ServiceName', 'TLSVerify'],
  'Variant',
]);

/** An `.image`: it is fetched into the store. */
export function runcImage(conversion: Conversion): void {
  requireHonoured(WITHOUT_ENGINE, conversion, IMAGE_KEYS, {
    Policy: (policy) =>
      /^(always|newer)$/.test(policy) ? undefined : `it is fetched whenever it is new, not ${policy}`,
  });
  const { source, group, unit, info, surroundings } = conversion;
  const image = text(conversion, 'Image');
  if (image === undefined) throw refuse('no Image key specified');
  const options: string[] = [];
  const tag = text(conversion, 'ImageTag');
  if (tag !== undefined) options.push(`--name=${tag}`);
  const [os = 'linux', arch, variant] = ['OS', 'Arch', 'Variant'].map((key) => text(conversion, key));
  if (arch !== undefined)
    options.push(`--platform=${[os, arch, ...(variant === undefined ? [] : [variant])].join('/')}`);
  else if (variant !== undefined || source.has(group, 'OS')) cannot('OS= and Variant= are taken only with Arch=');
  const path = (key: string): string | undefined => {
    const given = text(conversion, key);
    return given === undefined || standsAlone(given) ? given : absolutePath(conversion, given);
  };
  for (const [name, given] of [
    ['authfile', path('AuthFile')],
    ['cert-dir', path('CertDir')],
    ['creds', text(conversion, 'Creds')],
    ['tls-verify', text(conversion, 'TLSVerify')],
  ] as const) {
    if (given !== undefined) options.push(`--${name}=${given}`);
  }
  unit.add('Service', 'ExecStart', quoteWords([surroundings.program, 'pull', ...options, '--', image]));
  oneshot(conversion, true);
  info.resource = tag ?? image;
}
