import type { KeyFile } from '@atomic/ostree';
import { type PinnedPackage, readRequests } from '../layers/requests.ts';

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

export function originRequests(origin: KeyFile | null): OriginRequests {
  const flag = (key: string) => origin?.get('rpmostree', key)?.trimEnd() === 'true';
  const requests = readRequests(origin);
  const names = (list: readonly PinnedPackage[]) => list.map(({ name }) => name);
  const replaced = requests.replaceFrom.map(({ source, packages }): [string, string[]] => [source, [...packages]]);
  const args = split(origin?.get('rpmostree', 'initramfs-args'));
  const etc = split(origin?.get('rpmostree', 'initramfs-etc'));
  return {
    'requested-packages': [...requests.install],
    'requested-local-packages': names(requests.local),
    'requested-local-fileoverride-packages': names(requests.localFileOverride),
    'requested-base-removals': [...requests.remove],
    'requested-base-local-replacements': names(requests.replace),
    ...(replaced.length === 0 ? {} : { 'requested-base-remote-replacements': replaced }),
    'regenerate-initramfs': flag('regenerate-initramfs'),
    ...(args.length === 0 ? {} : { 'initramfs-args': args }),
    ...(etc.length === 0 ? {} : { 'initramfs-etc': etc }),
    ...(flag('ex-cliwrap') ? { cliwrap: true } : {}),
  };
}
