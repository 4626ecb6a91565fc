import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

/** The rooms, lowest first: a package imports only what stands before it. */
const ORDER = ['linux', 'ostree', 'pkgdb', 'oci', 'sysroot', 'compose', 'containers', 'vm', 'cli'];
const root = path.join(import.meta.dirname, '..');

interface Import {
  file: string;
  specifier: string;
}

function sources(name: string): string[] {
  return globSync(`packages/${name}/src/**/*.ts`, { cwd: root }).filter((file) => !file.endsWith('.test.ts'));
}

/** Code without its comments and without the contents of template literals, good enough to look for words in. */
function code(file: string): string {
  return readFileSync(path.join(root, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/\s\/\/ .*$/gm, '');
}

function imports(file: string): Import[] {
  const found = code(file).matchAll(
    /(?:^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*|^\s*import\s*|\bimport\(\s*)['"]([^'"]+)['"]/gm,
  );
  return [...found].flatMap(([, specifier]) => (specifier === undefined ? [] : [{ file, specifier }]));
}

for (const [level, name] of ORDER.entries()) {
  test(`${name} imports only the rooms below it`, () => {
    const files = sources(name);
    assert.ok(files.length > 0, `no sources found in packages/${name}/src`);
    const manifest: unknown = JSON.parse(readFileSync(path.join(root, `packages/${name}/package.json`), 'utf8'));
    assert.ok(typeof manifest === 'object' && manifest !== null && 'dependencies' in manifest);
    const declared = Object.keys(manifest.dependencies ?? {});
    const wrong: string[] = [];
    for (const { file, specifier } of files.flatMap(imports)) {
      if (specifier.startsWith('node:')) continue;
      if (specifier.startsWith('.')) {
        const target = path.relative(root, path.resolve(root, path.dirname(file), specifier));
        if (!target.startsWith(`packages/${name}/`)) wrong.push(`${file}: ${specifier} leaves the package`);
        else if (!specifier.endsWith('.ts') && !specifier.endsWith('.json'))
          wrong.push(`${file}: ${specifier} lacks .ts`);
        continue;
      }
      const own = /^@atomic\/([^/]+)$/.exec(specifier);
      if (own) {
        const other = ORDER.indexOf(own[1] ?? '');
        if (other < 0 || other >= level) wrong.push(`${file}: ${name} must not import ${specifier}`);
      }
      const parts = specifier.split('/');
      const dependency = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier);
      if (!declared.includes(dependency)) wrong.push(`${file}: ${dependency} is not in packages/${name}/package.json`);
    }
    assert.deepEqual(wrong, []);
  });
}

test('nothing below cli prints, exits, or reads the arguments or the environment', () => {
  const forbidden =
    /\bprocess\s*\.\s*(argv|env|exit|exitCode|stdin|stdout|stderr|on|once)\b|(?<![.\w])console\s*\.\s*(log|info|warn|error|debug|trace|table|dir)\b/g;
  const wrong: string[] = [];
  for (const name of ORDER.filter((room) => room !== 'cli')) {
    for (const file of sources(name)) {
      for (const [word] of code(file).matchAll(forbidden)) wrong.push(`${file}: ${word}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('the version that is printed is that of package.json', async () => {
  const { VERSION } = await import('../packages/cli/src/version.ts');
  for (const file of ['package.json', ...ORDER.map((name) => `packages/${name}/package.json`)]) {
    const manifest: unknown = JSON.parse(readFileSync(path.join(root, file), 'utf8'));
    assert.ok(typeof manifest === 'object' && manifest !== null && 'version' in manifest);
    assert.equal(manifest.version, VERSION, file);
  }
});
