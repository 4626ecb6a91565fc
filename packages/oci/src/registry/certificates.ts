import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import type { TlsSettings } from './http.ts';

/**
 * Certificates for a registry out of folders such as /etc/containers/certs.d (containers-certs.d(5)): `HOST[:PORT]/*.crt`
 * to trust, `NAME.cert` with `NAME.key` to show. Throws `invalid` for one of these two without the other.
 */
export function certificatesFor(host: string, folders: readonly string[]): TlsSettings {
  const ca: Buffer[] = [];
  let pair: { cert: Buffer; key: Buffer } | undefined;
  for (const folder of folders) {
    const place = join(folder, host);
    const names = listed(place);
    for (const name of names) if (name.endsWith('.crt')) ca.push(readFileSync(join(place, name)));
    for (const name of new Set(names.flatMap((one) => /^(.*)\.(?:cert|key)$/.exec(one)?.[1] ?? []))) {
      for (const [there, lacking] of [['key', 'cert'] as const, ['cert', 'key'] as const]) {
        if (names.includes(`${name}.${lacking}`)) continue;
        throw new AtomicError('invalid', `${join(place, `${name}.${there}`)} is there without its ${name}.${lacking}`, {
          hint: 'NAME.cert and NAME.key are shown to the registry; certificates to trust are called NAME.crt',
        });
      }
      pair ??= { cert: readFileSync(join(place, `${name}.cert`)), key: readFileSync(join(place, `${name}.key`)) };
    }
  }
  return { ca: ca.length === 0 ? undefined : Buffer.concat(ca.flatMap((one) => [one, Buffer.from('\n')])), ...pair };
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
