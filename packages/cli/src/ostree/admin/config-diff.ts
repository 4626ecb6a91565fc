import { AtomicError } from '@atomic/ostree';
import { JSON_OPTION, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, OS, openAdmin, requireBootedOrOs } from './sysroot.ts';

export const verb: Verb = {
  args: '',
  summary: 'Diff current /etc configuration versus default',
  options: [...ADMIN, OS, ...ADMIN_COMMON, JSON_OPTION],
  examples: ['ostree admin config-diff', 'ostree admin config-diff --os=debian --sysroot=/mnt'],
  async run(call) {
    const { ctx, options } = call;
    using admin = await openAdmin(call, { unlocked: true });
    const { sysroot, state } = admin;
    const { diffEtc, mergeDeployment } = await import('@atomic/sysroot');
    const os = requireBootedOrOs(state, options.value('os'));
    const deployment = mergeDeployment(state, os);
    if (deployment === null) throw new AtomicError('not-found', `No deployment for OS '${os}'`);
    const tree = sysroot.layout.deployment(deployment);
    const diff = diffEtc(`${tree}/usr/etc`, `${tree}/etc`);
    const readable = (paths: readonly string[]) => paths.map((path) => Buffer.from(path, 'latin1').toString());
    if (ctx.json) {
      ctx.printJson({
        modified: readable(diff.modified),
        removed: readable(diff.removed),
        added: readable(diff.added),
      });
      return;
    }
    for (const [letter, paths] of [
      ['M', diff.modified],
      ['D', diff.removed],
      ['A', diff.added],
    ] as const) {
      // Names are bytes; a terminal, or the next program, gets them as they are.
      for (const path of paths) ctx.write(Buffer.from(`${letter}    ${path}\n`, 'latin1'));
    }
  },
};
