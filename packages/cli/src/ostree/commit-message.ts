import { editText } from '../editor.ts';
import { UsageError } from './options.ts';

const HELP = `
# Please enter the commit message for your changes. The first line will
# become the subject, and the remainder the body. Lines starting
# with '#' will be ignored, and an empty message aborts the commit.`;

/** Lets the person write a commit's message in an editor; throws when it stays empty. */
export function editMessage(
  branch: string | undefined,
  subject: string | undefined,
): { subject: string; body: string } {
  const about = branch === undefined ? '' : `\n#\n# Branch: ${branch}`;
  return parseMessage(editText(`${HELP}${about}${subject === undefined ? '' : `\n${subject}`}\n`, 'message'));
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
