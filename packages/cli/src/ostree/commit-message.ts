import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './options.ts';

const HELP = `
# Please enter the commit message for your changes. The first line will
# become the subject, and the remainder the body. Lines starting
# with '#' will be ignored, and an empty message aborts the commit.`;

/** The editor stock would use: $OSTREE_EDITOR, $VISUAL (on a real terminal), $EDITOR, vi (on a real terminal). */
function editor(): string {
  const { OSTREE_EDITOR, VISUAL, EDITOR, TERM } = process.env;
  const dumb = TERM === undefined || TERM === 'dumb';
  const found = OSTREE_EDITOR ?? (dumb ? undefined : VISUAL) ?? EDITOR ?? (dumb ? undefined : 'vi');
  if (found === undefined) throw new UsageError('Terminal is dumb, but EDITOR unset');
  return found;
}

/** Lets the person write a commit's message in an editor; throws when it stays empty. */
export function editMessage(
  branch: string | undefined,
  subject: string | undefined,
): { subject: string; body: string } {
  const command = editor();
  const folder = mkdtempSync(join(tmpdir(), 'ostree-commit-'));
  const file = join(folder, 'message');
  try {
    const about = branch === undefined ? '' : `\n#\n# Branch: ${branch}`;
    writeFileSync(file, `${HELP}${about}${subject === undefined ? '' : `\n${subject}`}\n`);
    const { status } = spawnSync('/bin/sh', ['-c', `${command} "$1"`, 'sh', file], { stdio: 'inherit' });
    if (status !== 0) {
      throw new UsageError(
        `There was a problem with the editor '${command}': Child process exited with code ${status}`,
      );
    }
    return parseMessage(readFileSync(file, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The first line that is neither empty nor a comment is the subject, what follows the body. */
export function parseMessage(text: string): { subject: string; body: string } {
  const lines = text.split('\n').flatMap((line) => (line.startsWith('#') ? [] : [line.trimEnd()]));
  const first = lines.findIndex((line) => line !== '');
  const subject = lines[first];
  if (subject === undefined) throw new UsageError('Aborting commit due to empty commit subject.');
  const rest = lines.slice(first + 1);
  const start = rest.findIndex((line) => line !== '');
  return { subject, body: start < 0 ? '' : rest.slice(start).join('\n').trimEnd() };
}
