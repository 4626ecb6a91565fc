import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Plugin } from 'esbuild';

/** The file that defines each value a module exports, itself or from others. Types leave nothing behind and are not in it. */
function origins(file: string, seen: Set<string>): Map<string, string> {
  const found = new Map<string, string>();
  if (seen.has(file)) return found;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name = ''] of text.matchAll(
    /^export (?:async |abstract )*(?:function\*?|class|const|let) ([A-Za-z_$][\w$]*)/gm,
  )) {
    found.set(name, file);
  }
  for (const [, from = ''] of text.matchAll(/^export \* from '(\.[^']+)';/gm)) {
    for (const [name, origin] of origins(resolve(dirname(file), from), seen)) found.set(name, origin);
  }
  for (const [, names = '', from = ''] of text.matchAll(/^export \{([^}]*)\} from '(\.[^']+)';/gm)) {
    const inner = origins(resolve(dirname(file), from), new Set());
    for (const word of names.split(',').map((part) => part.trim())) {
      const origin = inner.get(word);
      if (origin !== undefined) found.set(word, origin);
    }
  }
  return found;
}

/**
 * Lets `import { Repo } from '@atomic/ostree'`, and `const { Repo } = await import(…)`, load the module that defines Repo
 * instead of the whole package: a bundle runs each module it loads, and a start should run few. Statements it does not
 * understand stay as they are.
 */
export function directImports(root: string): Plugin {
  const packages = new Map<string, Map<string, string>>();
  const originsOf = (name: string): Map<string, string> => {
    const known = packages.get(name) ?? origins(join(root, 'packages', name, 'src/index.ts'), new Set());
    packages.set(name, known);
    return known;
  };
  /** The names of an import, each with the file that defines it; null when one is not understood. */
  const located = (names: string, name: string, rename: RegExp): [part: string, origin: string][] | null => {
    const parts = names.split(',').map((word) => word.trim());
    const found: [string, string][] = [];
    for (const part of parts) {
      if (part === '' || part.startsWith('type ')) continue;
      const origin = originsOf(name).get(part.split(rename)[0] ?? '');
      if (origin === undefined) return null;
      found.push([part, origin]);
    }
    return found;
  };
  const rewriteStatic = (statement: string, names: string, name: string): string =>
    located(names, name, /\s+as\s+/)
      ?.map(([part, origin]) => `import { ${part} } from ${JSON.stringify(origin)};`)
      .join(' ') ?? statement;
  const rewriteDynamic = (statement: string, names: string, name: string): string => {
    const found = located(names, name, /\s*:\s*/);
    if (found === null || found.length === 0) return statement;
    const loads = found.map(([, origin]) => `import(${JSON.stringify(origin)})`);
    return `const [${found.map(([part]) => `{ ${part} }`).join(', ')}] = await Promise.all([${loads.join(', ')}])`;
  };
  return {
    name: 'direct-imports',
    setup(build) {
      build.onLoad({ filter: /\/packages\/[a-z]+\/src\/.*\.ts$/ }, ({ path }) => ({
        loader: 'ts',
        contents: readFileSync(path, 'utf8')
          .replace(/^import \{([^}]*)\} from '@atomic\/([a-z]+)';$/gm, rewriteStatic)
          .replace(/\bconst \{([^{}]*)\} = await import\(\s*'@atomic\/([a-z]+)',?\s*\)/g, rewriteDynamic),
      }));
    },
  };
}
