import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { completionScript, modelFor } from './completion.ts';
import { manualPages } from './man.ts';

const models = { atomic: await modelFor('atomic'), ostree: await modelFor('ostree') };

/** What bash offers for a command line whose last word is being typed. */
function offered(program: 'atomic' | 'ostree', ...words: string[]): string[] {
  const script = completionScript('bash', models[program]);
  const line = [program, ...words];
  const quoted = line.map((word) => `'${word}'`).join(' ');
  const probe = `${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${line.length - 1}; cd /var/empty 2>/dev/null || cd /; _${program}; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const result = spawnSync('bash', ['-c', probe], { encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.trim().split('\n');
}

describe('completion', () => {
  test('bash offers groups, commands, options', () => {
    assert.ok(offered('atomic', 'ho').includes('host'));
    assert.deepEqual(offered('atomic', 'host', 'roll'), ['rollback']);
    assert.ok(offered('atomic', 'host', 'upgrade', '--ch').includes('--check'));
    assert.ok(offered('atomic', '--json', 'host', 'upgrade', '--js').includes('--json'));
    assert.deepEqual(offered('atomic', 'ostree', 'rev-'), ['rev-parse']);
    assert.deepEqual(offered('ostree', 'remote', 'add', '--no-gpg'), ['--no-gpg-verify']);
  });
  test('every shell gets a script, an unknown one none', () => {
    for (const shell of ['bash', 'zsh', 'fish']) assert.match(completionScript(shell, models.atomic) ?? '', /rollback/);
    assert.equal(completionScript('tcsh', models.atomic), null);
  });
});

describe('manual pages', () => {
  test('one for each command, with its options', () => {
    const pages = manualPages(models.ostree);
    assert.match(pages.get('ostree-commit.1') ?? '', /\\-\\-timestamp/);
    assert.match(pages.get('ostree-remote-add.1') ?? '', /^\.TH OSTREE\\-REMOTE\\-ADD 1 /);
    assert.match(manualPages(models.atomic).get('atomic-host-upgrade.1') ?? '', /\\-\\-check/);
  });
});
