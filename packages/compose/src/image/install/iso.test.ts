import assert from 'node:assert/strict';
import { test } from 'node:test';
import { menu } from './iso.ts';

test('kernel arguments are words of the menu, whatever is in them', () => {
  const text = menu(['root=atomic:live', 'a=1;reboot', 'b=$root'], true);
  assert.match(text, /^ {2}linux \/live\/vmlinuz root=atomic:live 'a=1;reboot' 'b=\$root'$/m);
  assert.match(text, /'b=\$root' systemd\.mask=atomic-install\.service$/m);
});
