import { checkLayer, type Layer } from './layer.ts';
import { invalid } from './where.ts';

/**
 * Reads a kickstart file as far as rpm-ostree does: `%packages` (with `-NAME` for what must not come in, and
 * `--exclude-weakdeps`) and `%include` of files below its folder. Throws AtomicError 'invalid' for all else.
 */
export function parseKickstart(file: string, text: string): Layer {
  const lists: Record<'packages' | 'exclude-packages' | 'include', { value: string; line: number }[]> = {
    packages: [],
    'exclude-packages': [],
    include: [],
  };
  let recommends: boolean | undefined;
  let begun = 0;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = index + 1;
    const trimmed = raw.trim();
    if (trimmed === '' || raw.startsWith('#')) continue;
    if (begun > 0) {
      if (trimmed === '%end') begun = 0;
      else if (trimmed.startsWith('-')) lists['exclude-packages'].push({ value: trimmed.slice(1), line });
      else lists.packages.push({ value: trimmed, line });
      continue;
    }
    const [verb = '', ...words] = trimmed.split(/\s+/);
    if (verb === '%packages') {
      begun = line;
      const unknown = words.find((word) => word !== '--exclude-weakdeps');
      if (unknown !== undefined) throw invalid(file, line, `%packages has ${unknown}, which is not supported`);
      if (words.length > 0) recommends = false;
    } else if (verb === '%include') {
      const [name, ...more] = words;
      if (name === undefined || more.length > 0) throw invalid(file, line, '%include takes one file');
      if (name.startsWith('/') || name.split('/').includes('..'))
        throw invalid(file, line, `%include names ${name}, which is not below the file's own folder`);
      lists.include.push({ value: name, line });
    } else throw invalid(file, line, `${verb} is not supported: of a kickstart file only %packages and %include count`);
  }
  if (begun > 0) throw invalid(file, begun, '%packages has no %end');
  const values = (key: keyof typeof lists): string[] => lists[key].map(({ value }) => value);
  const data = {
    packages: values('packages'),
    'exclude-packages': values('exclude-packages'),
    include: values('include'),
    ...(recommends === undefined ? {} : { recommends }),
  };
  const lineOf = ([key, index]: readonly PropertyKey[]): number =>
    (key === 'packages' || key === 'exclude-packages' || key === 'include'
      ? lists[key][Number(index ?? 0)]?.line
      : 1) ?? 1;
  return { ...checkLayer(file, data, lineOf), text };
}
