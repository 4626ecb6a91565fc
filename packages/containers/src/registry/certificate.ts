import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { fsyncPath } from '@atomic/linux';
import { AtomicError, runProgram } from '@atomic/ostree';

/** A certificate and its key, as files in PEM. */
export interface CertificateFiles {
  cert: string;
  key: string;
}

const DAYS = 825;
/** It is made anew so many days before its end. */
const RENEW_DAYS = 30;

/**
 * The certificate this machine has made for itself, in `folder`; made when there is none that is good for all `names` and
 * for some time. Whoever wants to trust it takes `cert` as an authority. Needs openssl(1).
 */
export async function ownCertificate(folder: string, names: readonly string[]): Promise<CertificateFiles> {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  const wanted = [...new Set([...names, hostname(), 'localhost', '127.0.0.1', '::1'])];
  if (isGood(files.cert, wanted)) return files;
  const aside = `${folder}.new`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true, mode: 0o700 });
  const alternatives = wanted.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`).join(',');
  await runProgram('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256'],
    ...['-days', String(DAYS), '-subj', `/CN=${(wanted[0] ?? '').replaceAll(/[^\w.:-]/g, '').slice(0, 64)}`],
    ...['-addext', `subjectAltName=${alternatives}`, '-addext', 'extendedKeyUsage=serverAuth'],
    ...['-keyout', join(aside, 'key.pem'), '-out', join(aside, 'cert.pem')],
  ]);
  for (const path of [join(aside, 'key.pem'), join(aside, 'cert.pem'), aside]) fsyncPath(path);
  // Both or neither: a folder is renamed in one step once there is none in its place.
  rmSync(folder, { recursive: true, force: true });
  renameSync(aside, folder);
  fsyncPath(dirname(folder));
  return files;
}

function isGood(path: string, names: readonly string[]): boolean {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(readFileSync(path));
  } catch {
    return false;
  }
  if (certificate.validToDate.getTime() - Date.now() < RENEW_DAYS * 86_400_000) return false;
  return names.every((name) =>
    isIP(name) === 0 ? certificate.checkHost(name) !== undefined : certificate.checkIP(name) !== undefined,
  );
}

/** Reads both; throws `invalid` when they cannot be read. */
export function readCertificate({ cert, key }: CertificateFiles): { cert: Buffer; key: Buffer; fingerprint: string } {
  try {
    const bytes = readFileSync(cert);
    return { cert: bytes, key: readFileSync(key), fingerprint: new X509Certificate(bytes).fingerprint256 };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AtomicError('invalid', `the certificate ${cert} with the key ${key} cannot be used: ${why}`, { cause });
  }
}
