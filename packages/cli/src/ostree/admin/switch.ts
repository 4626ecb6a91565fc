import { AtomicError, parseRefspec } from '@atomic/ostree';
import { JSON_OPTION, required, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, brief, OS, openAdmin, pulling, rebootIfBooted, running } from './sysroot.ts';

export const verb: Verb = {
  args: 'REFSPEC',
  summary: 'Construct new tree from REFSPEC and deploy it',
  options: [
    ...ADMIN,
    { long: 'reboot', short: 'r', text: 'Reboot after switching trees' },
    { long: 'kexec', short: 'k', text: 'Stage new kernel in kexec' },
    OS,
    ...ADMIN_COMMON,
    JSON_OPTION,
  ],
  examples: [
    'ostree admin switch debian/13/x86_64/minimal      another branch of the same remote',
    'ostree admin switch mirror:                       the same branch of another remote',
    'ostree admin switch --os=debian mirror:debian/13/x86_64/minimal',
  ],
  async run(call) {
    const { ctx, options, args } = call;
    const wanted = required(args[0], 'REFSPEC must be specified');
    using admin = await openAdmin(call);
    const { sysroot, state } = admin;
    const { deployFollowed, follow, followedDeployment, followedRefspec, loadForKexec } = await import(
      '@atomic/sysroot'
    );
    const old = followedRefspec(followedDeployment(state, options.value('os')));
    const { remote, ref } = parseRefspec(old);
    const target = wanted.endsWith(':') ? { remote: wanted.slice(0, -1), ref } : parseRefspec(wanted);
    const newRemote = target.remote ?? remote;
    const refspec = newRemote === null ? target.ref : `${newRemote}:${target.ref}`;
    parseRefspec(refspec);
    if (refspec === old) throw new AtomicError('invalid', `Old and new refs are equal: ${refspec}`);
    const run = running(ctx);
    // Two branches have no order in time.
    const followed = await follow(sysroot, {
      ...run,
      os: options.value('os'),
      ...pulling(),
      switchTo: refspec,
      allowOlder: true,
    });
    const deployment = await deployFollowed(sysroot, followed, run);
    if (options.flag('kexec')) loadForKexec(sysroot, deployment);
    run.log?.(`Deleting ref '${remote ?? '(null)'}:${ref}'`);
    sysroot.repo.setRef(old, null);
    if (ctx.json) ctx.printJson({ from: old, to: refspec, deployment: brief(deployment) });
    if (options.flag('reboot')) await rebootIfBooted(sysroot);
  },
};
