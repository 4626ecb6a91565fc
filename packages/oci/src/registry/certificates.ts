import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsSettings } from './http.ts';

/**
 * Certificates for a registry out of folders such as /etc/containers/certs.d (containers-certs.d(5)): `HOST[:PORT]/*.crt`
 * to trust, `*.cert` and `*.key` to show.
 */
export function certificatesFor(host: string, folders: readonly string[]): TlsSettings {
  const found: { ca: Buffer[]; cert?: Buffer; key?: Buffer } = { ca: [] };
  for (const folder of folders) {
    const place = join(folder, host);
    for (const name of listed(place)) {
      const bytes = () => readFileSync(join(place, name));
      if (name.endsWith('.crt')) found.ca.push(bytes());
      else if (name.endsWith('.cert')) found.cert ??= bytes();
      else if (name.endsWith('.key')) found.key ??= bytes();
    }
  }
  const { ca, cert, key } = found;
  return { ca: ca.length === 0 ? undefined : Buffer.concat(ca.flatMap((one) => [one, Buffer.from('\n')])), cert, key };
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
