import { corrupt } from '../error.ts';

const TAG_SIGNATURE = 2;
const ARMOR = '-----BEGIN PGP ';

/** The bytes inside ASCII armour (RFC 4880, 6.2), or the same bytes when there is none. Throws `corrupt`. */
function dearmor(bytes: Buffer): Buffer {
  if (bytes.subarray(0, ARMOR.length).toString('latin1') !== ARMOR) return bytes;
  const lines = bytes
    .toString('latin1')
    .split('\n')
    .map((line) => line.trim());
  // Header lines end at the first empty line; the checksum is a line of its own that starts with '='.
  const from = lines.indexOf('') + 1;
  const to = lines.findIndex((line, i) => i >= from && (line.startsWith('=') || line.startsWith('-----END ')));
  if (from === 0 || to < 0) throw corrupt('malformed OpenPGP armour');
  return Buffer.from(lines.slice(from, to).join(''), 'base64');
}

/**
 * Makes sure that a detached signature is nothing but OpenPGP signature packets, and returns each in binary. Anything
 * else in it (a message, compressed data) could make a verifier judge other data than was meant. Throws `corrupt`.
 */
export function signaturePackets(blob: Buffer): Buffer[] {
  const bytes = dearmor(blob);
  const packets: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const { tag, bodyStart, bodyLength } = packetHeader(bytes, at);
    if (tag !== TAG_SIGNATURE) throw corrupt(`an OpenPGP signature contains a packet of type ${tag}`);
    const end = bodyStart + bodyLength;
    if (end > bytes.length) throw corrupt('an OpenPGP signature is cut off');
    packets.push(bytes.subarray(at, end));
    at = end;
  }
  if (packets.length === 0) throw corrupt('an OpenPGP signature is empty');
  return packets;
}

/** Packet header at `at` (RFC 4880, 4.2). Partial and indeterminate lengths are refused: no signature needs them. */
function packetHeader(bytes: Buffer, at: number): { tag: number; bodyStart: number; bodyLength: number } {
  const malformed = () => corrupt('malformed OpenPGP packet');
  const read = (from: number, width: number): number => {
    if (from + width > bytes.length) throw malformed();
    return bytes.readUIntBE(from, width);
  };
  const first = read(at, 1);
  if ((first & 0x80) === 0) throw malformed();
  if ((first & 0x40) === 0) {
    const width = ([1, 2, 4] as const)[first & 0x03];
    if (width === undefined) throw malformed();
    return { tag: (first >> 2) & 0x0f, bodyStart: at + 1 + width, bodyLength: read(at + 1, width) };
  }
  const tag = first & 0x3f;
  const length = read(at + 1, 1);
  if (length < 192) return { tag, bodyStart: at + 2, bodyLength: length };
  if (length < 224) return { tag, bodyStart: at + 3, bodyLength: ((length - 192) << 8) + read(at + 2, 1) + 192 };
  if (length < 255) throw malformed();
  return { tag, bodyStart: at + 6, bodyLength: read(at + 2, 4) };
}
