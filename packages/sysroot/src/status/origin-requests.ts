import type { KeyFile } from '@atomic/ostree';

/** What an origin asks for on top of its branch, with the field names of `rpm-ostree status --json` (its origin.rs). */
export interface OriginRequests {
  'requested-packages': string[];
  'requested-local-packages': string[];
  'requested-local-fileoverride-packages': string[];
  'requested-base-removals': string[];
  'requested-base-local-replacements': string[];
  'requested-base-remote-replacements'?: [source: string, packages: string[]][];
  'regenerate-initramfs': boolean;
  'initramfs-args'?: string[];
  'initramfs-etc'?: string[];
  cliwrap?: true;
}

const split = (text: string | undefined): string[] => (text ?? '').split(';').filter((item) => item !== '');
/** Local packages are noted as `SHA256:NEVRA`. */
const nevras = (text: string | undefined): string[] => split(text).map((item) => item.slice(item.indexOf(':') + 1));

export function originRequests(origin: KeyFile | null): OriginRequests {
  const get = (group: string, key: string) => origin?.get(group, key);
  const flag = (key: string) => get('rpmostree', key)?.trimEnd() === 'true';
  const replaced = split(get('overrides', 'replace')).map((item): [string, string[]] => {
    const [source = '', ...packages] = item.split(',');
    return [source, packages];
  });
  const args = split(get('rpmostree', 'initramfs-args'));
  const etc = split(get('rpmostree', 'initramfs-etc'));
  return {
    'requested-packages': split(get('packages', 'requested')),
    'requested-local-packages': nevras(get('packages', 'requested-local')),
    'requested-local-fileoverride-packages': nevras(get('packages', 'requested-local-fileoverride')),
    'requested-base-removals': split(get('overrides', 'remove')),
    'requested-base-local-replacements': nevras(get('overrides', 'replace-local')),
    ...(replaced.length === 0 ? {} : { 'requested-base-remote-replacements': replaced }),
    'regenerate-initramfs': flag('regenerate-initramfs'),
    ...(args.length === 0 ? {} : { 'initramfs-args': args }),
    ...(etc.length === 0 ? {} : { 'initramfs-etc': etc }),
    ...(flag('ex-cliwrap') ? { cliwrap: true } : {}),
  };
}
