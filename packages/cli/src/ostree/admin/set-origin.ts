import { AtomicError, parseRefspec, remoteAdd } from '@atomic/ostree';
import { UsageError } from '../options.ts';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openAdmin, requireBooted } from './sysroot.ts';

export const verb: Verb = {
  args: 'REMOTENAME URL [BRANCH]',
  summary: 'Set Origin and create a new origin file',
  options: [
    ...ADMIN,
    { long: 'set', short: 's', arg: 'KEY=VALUE', text: 'Set config option KEY=VALUE for remote' },
    {
      long: 'index',
      arg: 'INDEX',
      int: true,
      text: 'Operate on the deployment INDEX, starting from zero',
    },
    ...ADMIN_COMMON,
  ],
  examples: ['ostree admin set-origin --index=0 --set=gpg-verify=false origin http://10.0.2.2:8000'],
  async run(call) {
    const { options, args } = call;
    const [name, url, branch] = args;
    if (name === undefined || url === undefined) throw new UsageError('REMOTENAME and URL must be specified', true);
    using admin = await openAdmin(call);
    const { sysroot, state } = admin;
    const { deploymentAt, makeOrigin, writeOrigin } = await import('@atomic/sysroot');
    const index = options.int('index');
    const target = index === undefined || index === -1 ? requireBooted(state) : deploymentAt(state, index);
    const settings: Record<string, string> = {};
    for (const pair of options.list('set')) {
      const equals = pair.indexOf('=');
      if (equals < 0) throw new UsageError(`Missing '=' in KEY=VALUE for --set '${pair}'`);
      settings[pair.slice(0, equals)] = pair.slice(equals + 1);
    }
    const refspec = target.origin?.get('origin', 'refspec');
    const ref = branch ?? (refspec === undefined ? undefined : parseRefspec(refspec).ref);
    if (ref === undefined) throw new AtomicError('invalid', 'No host refspec found, branch is required');
    const origin = makeOrigin(`${name}:${ref}`);
    if (!sysroot.repo.remotes().includes(name)) remoteAdd(sysroot.repo, name, url, { options: settings, branches: [] });
    writeOrigin(sysroot.layout.origin(target), origin);
    sysroot.touch();
  },
};
