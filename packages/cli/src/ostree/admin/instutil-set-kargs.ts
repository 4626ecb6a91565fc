import { AtomicError } from '@atomic/ostree';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, running, runningKargs } from './sysroot.ts';

export const verb: Verb = {
  args: 'ARGS',
  summary: 'Set new kernel command line arguments(Not stable)',
  options: [
    ...ADMIN,
    { long: 'import-proc-cmdline', text: 'Import current /proc/cmdline' },
    { long: 'merge', text: 'Merge with previous command line' },
    {
      long: 'replace',
      arg: 'NAME=VALUE',
      text: 'Set kernel argument, like root=/dev/sda1; this overrides any earlier argument with the same name',
    },
    {
      long: 'append',
      arg: 'NAME=VALUE',
      text: 'Append kernel argument; useful with e.g. console= that can be used multiple times',
    },
    ...ADMIN_COMMON,
  ],
  examples: ['ostree admin instutil set-kargs --merge --replace=root=LABEL=root --append=quiet'],
  async run(call) {
    const { options, args } = call;
    using admin = await openAdmin(call);
    const [first] = admin.state.deployments;
    if (first === undefined) throw new AtomicError('not-found', 'Unable to find a deployment in sysroot');
    const { appendKargs, replaceKarg, setKargs } = await import('@atomic/sysroot');
    let kargs: string[] = [];
    // Who wants the running kernel's arguments wants no others.
    if (options.flag('import-proc-cmdline')) kargs = await runningKargs();
    else if (options.flag('merge')) kargs = [...first.commandLine];
    for (const karg of options.list('replace')) kargs = replaceKarg(kargs, karg);
    kargs = appendKargs(kargs, [...options.list('append'), ...args]);
    await setKargs(admin.sysroot, first, kargs, running(call.ctx));
  },
};
