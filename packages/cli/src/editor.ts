import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './ostree/options.ts';

/** The editor stock would use: $OSTREE_EDITOR, $VISUAL (on a real terminal), $EDITOR, vi (on a real terminal). */
function editor(): string {
  const { OSTREE_EDITOR, VISUAL, EDITOR, TERM } = process.env;
  const dumb = TERM === undefined || TERM === 'dumb';
  const found = OSTREE_EDITOR ?? (dumb ? undefined : VISUAL) ?? EDITOR ?? (dumb ? undefined : 'vi');
  if (found === undefined) throw new UsageError('Terminal is dumb, but EDITOR unset');
  return found;
}

/** Lets the person change a text in an editor, as a file of this name; returns what they left of it. */
export function editText(text: string, name: string): string {
  const command = editor();
  const folder = mkdtempSync(join(tmpdir(), 'ostree-edit-'));
  const file = join(folder, name);
  try {
    writeFileSync(file, text);
    const { status } = spawnSync('/bin/sh', ['-c', `${command} "$1"`, 'sh', file], { stdio: 'inherit' });
    if (status !== 0) {
      throw new UsageError(
        `There was a problem with the editor '${command}': Child process exited with code ${status}`,
      );
    }
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
