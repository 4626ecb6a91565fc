import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FORMER_KEYS, REFUSED_KEYS } from './other-keys.ts';
import { treefileSchema } from './schema.ts';

/**
 * All keys of rpm-ostree 2026.2, as serde names the fields of TreeComposeConfig and of what is flattened into it
 * (rust/src/treefile.rs of that project); `packages-ARCH` stands for its extra keys.
 */
const UPSTREAM = `
  packages repo-packages cliwrap cliwrap-binaries packages-ARCH
  edition ref metadata basearch variables repovars rojig repos lockfile-repos selinux ignore-devices
  selinux-label-version sysusers ima gpg-key include arch-include conditional-include
  bootstrap-packages ostree-layers ostree-override-layers exclude-packages platform-module
  container recommends documentation install-langs initramfs-args no-initramfs readonly-executables
  boot-location tmp-is-dir opt-usrlocal units default-target machineid-compat
  releasever automatic-version-prefix automatic-version-suffix mutate-os-release
  etc-group-members preserve-passwd check-passwd check-groups ignore-removed-users ignore-removed-groups
  postprocess-script postprocess add-files remove-files remove-from-packages add-commit-metadata
  repo-metadata advisories-metadata rpmdb rpmdb-normalize container-cmd
  base-refspec container-image-reference packages-local packages-local-fileoverride
  override-remove ex-override-replace override-replace-local initramfs custom override-commit unconfigured-state
`
  .trim()
  .split(/\s+/);
/** rpm-ostree's spellings with an underscore: serde's, and one that only its documentation has. */
const FORMER = ['gpg_key', 'boot_location', 'default_target', 'automatic_version_prefix', 'bootstrap_packages'];

const HANDLINGS = ['yes', 'mapped', 'ours', 'refused'];

/** The rows of the tables in docs/treefile.md. */
function documented(): Map<string, string> {
  const text = readFileSync(join(import.meta.dirname, '../../../../docs/treefile.md'), 'utf8');
  const keys = new Map<string, string>();
  for (const [, names = '', handling = ''] of text.matchAll(/^\| ((?:`[^`]+`(?:, )?)+) \| (\S+) \| \S/gm))
    for (const [, name = ''] of names.matchAll(/`([^`]+)`/g)) {
      assert.ok(!keys.has(name), `${name} is documented once`);
      keys.set(name, handling);
    }
  return keys;
}

test('every key of rpm-ostree is documented as supported, mapped or refused, and the schema agrees', () => {
  const table = documented();
  const schema = new Set(Object.keys(treefileSchema.shape));
  for (const key of UPSTREAM) assert.ok(table.has(key), `${key} is in the table`);
  for (const [key, handling] of table) {
    assert.ok(HANDLINGS.includes(handling), `${key}: ${handling}`);
    if (key === 'packages-ARCH') continue;
    assert.equal(schema.has(key), handling !== 'refused', `${key} is ${handling}`);
    assert.equal(REFUSED_KEYS.has(key), handling === 'refused', `${key} is ${handling}`);
    // "initramfs" is a key of rpm-ostree's origins as well, where it means something else.
    if (key !== 'initramfs' && key !== 'modules')
      assert.equal(UPSTREAM.includes(key), handling !== 'ours', `${key} is ${handling}`);
  }
  for (const key of schema) assert.ok(table.has(key), `${key} is in the table`);
  for (const key of REFUSED_KEYS.keys()) assert.ok(table.has(key), `${key} is in the table`);
  assert.deepEqual([...FORMER_KEYS.keys()].sort(), [...FORMER].sort());
});
