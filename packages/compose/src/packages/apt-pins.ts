import type { AptSource } from './apt-sources.ts';
import type { InstallRequest } from './manager.ts';

// usrmerge moves files about in a finished root; a root that is born merged needs only its empty sibling.
const ALWAYS_EXCLUDED = ['usrmerge'];

/** A version of a package and where it comes from, as `apt-cache madison` has it. */
export interface Offer {
  name: string;
  version: string;
  /** URI, then suite and component, or the path of a flat repository */
  source: string;
}

/** Reads what `apt-cache madison` prints; sources of source packages are left out. */
export function parseMadison(output: string): Offer[] {
  return output.split('\n').flatMap((line) => {
    const [name = '', version = '', source = ''] = line.split('|').map((part) => part.trim());
    return source.endsWith(' Packages') ? [{ name, version, source: source.replace(/ Packages$/, '') }] : [];
  });
}

/** Whether an offer is a source's. */
export function isFrom({ source }: Offer, { uri, suite }: AptSource): boolean {
  const [offered = '', where = ''] = source.split(' ');
  const bare = (text: string): string => text.replace(/\/+$/, '');
  return bare(offered) === bare(uri) && (bare(where) === bare(suite) || where.startsWith(`${bare(suite)}/`));
}

/** A version that wins over all others, even newer ones. */
export const wins = (name: string, version: string): string => pin(name, `version ${version}`, 1001);
/** A version that is never taken. */
export const never = (name: string, version: string): string => pin(name, `version ${version}`, -1);

const pin = (name: string, what: string, priority: number): string =>
  `Package: ${name}\nPin: ${what}\nPin-Priority: ${priority}\n`;

/** The pins (apt_preferences(5)) that a request asks for by itself. */
export const pinsOf = (request: Pick<InstallRequest, 'exclude' | 'locked'>): string[] => [
  ...[...ALWAYS_EXCLUDED, ...request.exclude].map((name) => pin(name, 'release *', -1)),
  ...(request.locked ?? []).map(({ name, evr }) => wins(name, evr)),
];
