import { invalid, type Located } from '../treefile/where.ts';

/**
 * Refuses what apt would not take for the name of a package: treefiles may be written for RPMs, which have groups, files
 * and comparisons. Throws AtomicError 'invalid' with its place. Names: Debian policy 5.6.1.
 */
export function checkDebNames(packages: readonly Located<string>[]): void {
  for (const { value, file, line } of packages) {
    if (/^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+~:-]+)?$/.test(value)) continue;
    throw invalid(
      file,
      line,
      `'packages' names '${value}', which is no name of a Debian package`,
      'lower-case letters, digits and + - ., with :ARCHITECTURE or =VERSION behind if need be',
    );
  }
}
