import { createHash } from 'node:crypto';

const ZBASE32 = 'ybndrfg8ejkmcpqxot1uwisza345h769';

/** Bytes in z-base-32: five bits a character, the highest first. */
export function zbase32(bytes: Uint8Array): string {
  let out = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += ZBASE32[(buffer >> bits) & 31] ?? '';
    }
    buffer &= (1 << bits) - 1;
  }
  if (bits > 0) out += ZBASE32[(buffer << (5 - bits)) & 31] ?? '';
  return out;
}

const lower = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

/**
 * Where a mail domain offers the keys of its addresses (draft-koch-openpgp-webkey-service, 3.1), or null for what is
 * no mail address.
 */
export function wkdUrls(email: string): { advanced: string; direct: string } | null {
  const [local, domain, ...more] = email.split('@');
  if (local === undefined || local === '' || domain === undefined || domain === '' || more.length > 0) return null;
  const digest = zbase32(createHash('sha1').update(lower(local)).digest());
  const escaped = encodeURIComponent(local).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return {
    advanced: `https://openpgpkey.${domain}/.well-known/openpgpkey/${lower(domain)}/hu/${digest}?l=${escaped}`,
    direct: `https://${domain}/.well-known/openpgpkey/hu/${digest}?l=${escaped}`,
  };
}
