import { checksumPath } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { COMMON, JSON_OPTION, type Verb } from './verb.ts';

export const verb: Verb = {
  args: 'PATH',
  summary: 'Checksum a file or directory',
  options: [{ long: 'ignore-xattrs', text: "Don't include xattrs in checksum" }, ...COMMON, JSON_OPTION],
  examples: ['ostree checksum /usr/bin/env', 'ostree checksum --ignore-xattrs ./file'],
  async run({ ctx, options, args }) {
    const [path] = args;
    if (path === undefined) throw new UsageError('A filename must be given');
    const ignoreXattrs = options.flag('ignore-xattrs');
    const checksum = await checksumPath(path, { ignoreXattrs, signal: ctx.signal });
    if (ctx.json) ctx.printJson({ path, checksum });
    else ctx.print(checksum);
  },
};
