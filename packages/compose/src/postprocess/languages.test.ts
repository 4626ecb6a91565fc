import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isWanted, keepLanguages } from './languages.ts';

test('languages: a language wants its countries, a country its language', () => {
  for (const [language, wanted, yes] of [
    ['de', ['de'], true],
    ['de_AT', ['de'], true],
    ['de', ['de_AT'], true],
    ['de_CH', ['de_AT'], false],
    ['de@euro', ['de'], true],
    ['den', ['de'], false],
    ['fr', ['de', 'en_US'], false],
    ['en_US.utf8', ['en_US'], true],
  ] as const)
    assert.equal(isWanted(language, wanted), yes, `${language} of ${wanted.join(', ')}`);
});

test('languages: folders of others go; what is no language stays', () => {
  const root = mkdtempSync(join(tmpdir(), 'atomic-languages-'));
  try {
    for (const name of ['share/locale/de', 'share/locale/fr', 'share/man/man1', 'share/man/fr', 'lib/locale/C.utf8'])
      mkdirSync(join(root, 'usr', name), { recursive: true });
    writeFileSync(join(root, 'usr/share/locale/locale.alias'), '');
    keepLanguages(root, ['de']);
    assert.deepEqual(readdirSync(join(root, 'usr/share/locale')).sort(), ['de', 'locale.alias']);
    assert.deepEqual(readdirSync(join(root, 'usr/share/man')), ['man1']);
    assert.deepEqual(readdirSync(join(root, 'usr/lib/locale')), ['C.utf8']);
  } finally {
    rmSync(root, { recursive: true });
  }
});
