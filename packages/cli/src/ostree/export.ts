import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import { exportTar } from '@atomic/ostree';
import { type Call, COMMON, openRepo, REPO, required, type Verb } from './verb.ts';

/** What stock pads archives to where they are not plain files. */
const RECORD = 10_240;

async function run(call: Call): Promise<void> {
  const { ctx, options } = call;
  const repo = openRepo(call);
  const rev = required(call.args[0], 'A COMMIT argument is required');
  const commit = repo.resolveRev(rev);
  const output = options.value('output');
  const fd = output === undefined ? null : openSync(output, 'w', 0o666);
  try {
    const plain = fd !== null && fstatSync(fd).isFile();
    const pieces = exportTar(repo, commit, {
      subpath: options.value('subpath'),
      prefix: options.value('prefix'),
      noXattrs: options.flag('no-xattrs'),
      recordSize: plain ? 1 : RECORD,
      signal: ctx.signal,
      // Progress would be in the way of an archive on a terminal's pipe.
      progress: fd === null ? undefined : ctx.progress,
    });
    for await (const piece of pieces) {
      if (fd === null) ctx.write(piece);
      else for (let at = 0; at < piece.length; ) at += writeSync(fd, piece, at);
    }
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

export const verb: Verb = {
  args: 'COMMIT',
  summary: 'Stream COMMIT to stdout in tar format',
  options: [
    REPO,
    { long: 'no-xattrs', text: 'Skip output of extended attributes' },
    { long: 'subpath', arg: 'PATH', text: 'Checkout sub-directory PATH' },
    { long: 'prefix', arg: 'PATH', text: 'Add PATH as prefix to archive pathnames' },
    { long: 'output', short: 'o', arg: 'PATH', text: 'Output to PATH ' },
    ...COMMON,
  ],
  examples: [
    'ostree export --repo=repo main | tar -x --xattrs --xattrs-include="*" -C tree',
    'ostree export --repo=repo --subpath=/usr/etc --prefix=etc/ -o etc.tar main',
  ],
  run,
};
