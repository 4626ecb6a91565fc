import { type Conversion, refuse, resolveStorage } from './conversion.ts';

/** One line of comma-separated fields, quoted as RFC 4180 has it. Throws `invalid`. */
function readFields(line: string): string[] {
  const fields: string[] = [];
  let rest = line;
  for (;;) {
    if (rest.startsWith('"')) {
      const match = /^"((?:[^"]|"")*)"(,|$)/.exec(rest);
      if (match === null) throw refuse(`mount ${line}: extraneous or missing " in quoted-field`);
      fields.push((match[1] ?? '').replaceAll('""', '"'));
      if (match[2] === '') return fields;
      rest = rest.slice(match[0].length);
    } else {
      const comma = rest.indexOf(',');
      const field = comma === -1 ? rest : rest.slice(0, comma);
      if (field.includes('"')) throw refuse(`mount ${line}: bare " in non-quoted-field`);
      fields.push(field);
      if (comma === -1) return fields;
      rest = rest.slice(comma + 1);
    }
  }
}

const writeField = (field: string): string =>
  field === '\\.' || /[,"\r\n]|^\s/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;

const WITH_SOURCE = new Set(['volume', 'bind', 'glob', 'image', 'artifact']);

/** A `Mount=`: its source may be a volume, an image or an artifact that another source makes. */
export function resolveMount(conversion: Conversion, mount: string): string {
  if (/[\r\n]/.test(mount)) {
    throw refuse(
      'incorrect mount format: should be --mount type=<bind|glob|tmpfs|volume>,[src=<host-dir|volume-name>,]target=<ctr-dir>[,options]',
    );
  }
  const fields = readFields(mount);
  const typeAt = fields.findIndex((field) => /^type=[^=]*$/.test(field));
  const type = typeAt === -1 ? 'volume' : (fields[typeAt] ?? '').slice('type='.length);
  if (!WITH_SOURCE.has(type)) return mount;
  const rest = fields.filter((_, index) => index !== typeAt);
  const isSource = (field: string): boolean => /^(source|src)(=|$)/.test(field);
  if (rest.some((field) => isSource(field) && !field.includes('='))) {
    throw refuse('source parameter does not include a value');
  }
  const sourceAt = rest.findLastIndex(isSource);
  const source = (rest[sourceAt] ?? '').replace(/^[^=]*=?/, '');
  if (source !== '') rest[sourceAt] = `source=${resolveStorage(conversion, source, true)}`;
  else if (type !== 'volume') throw refuse(`source parameter is required for mount type ${type}`);
  return [`type=${type}`, ...rest].map(writeField).join(',');
}
