import { AtomicError } from '@atomic/ostree';
import { JSON_OPTION, type Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, brief, OS, openAdmin, pulling, rebootIfBooted, running } from './sysroot.ts';

export const verb: Verb = {
  args: '',
  summary: 'Construct new tree from current origin and deploy it, if it changed',
  options: [
    ...ADMIN,
    OS,
    { long: 'reboot', short: 'r', text: 'Reboot after a successful upgrade' },
    { long: 'kexec', short: 'k', text: 'Stage new kernel in kexec' },
    { long: 'allow-downgrade', text: 'Permit deployment of chronologically older trees' },
    { long: 'override-commit', arg: 'CHECKSUM', text: 'Deploy CHECKSUM instead of the latest tree' },
    { long: 'pull-only', text: 'Do not create a deployment, just download' },
    { long: 'deploy-only', text: 'Do not pull, only deploy' },
    { long: 'stage', text: 'Enable staging (finalization at reboot time)' },
    ...ADMIN_COMMON,
    JSON_OPTION,
  ],
  examples: [
    'ostree admin upgrade --reboot',
    'ostree admin upgrade --pull-only && ostree admin upgrade --deploy-only',
    'ostree admin upgrade --os=debian --sysroot=/mnt',
  ],
  async run(call) {
    const { ctx, options } = call;
    const pullOnly = options.flag('pull-only');
    const deployOnly = options.flag('deploy-only');
    if (pullOnly && deployOnly) {
      throw new AtomicError('usage', 'Cannot simultaneously specify --pull-only and --deploy-only');
    }
    if (pullOnly && (options.flag('reboot') || options.flag('kexec'))) {
      throw new AtomicError('usage', 'Cannot simultaneously specify --pull-only and --reboot or --kexec');
    }
    using admin = await openAdmin(call);
    const { sysroot } = admin;
    const { cleanup, deployFollowed, follow, loadForKexec } = await import('@atomic/sysroot');
    const run = running(ctx);
    let followed: Awaited<ReturnType<typeof follow>>;
    try {
      followed = await follow(sysroot, {
        ...run,
        os: options.value('os'),
        ...pulling(),
        overrideCommit: options.value('override-commit'),
        synthetic: deployOnly,
        allowOlder: options.flag('allow-downgrade'),
      });
    } catch (error) {
      // What several pulls without a deployment in between left is removed before more comes.
      if (pullOnly) await cleanup(sysroot, run).catch(() => {});
      throw error;
    }
    const { changed, revision } = followed;
    if (!changed) {
      if (ctx.json) ctx.printJson({ changed, revision, deployment: null });
      else ctx.print('No update available.');
      return;
    }
    const stage = options.flag('stage') || process.env['OSTREE_EX_STAGE_DEPLOYMENTS'] !== undefined;
    const deployment = pullOnly ? null : await deployFollowed(sysroot, followed, { ...run, stage });
    if (deployment !== null && !stage && options.flag('kexec')) loadForKexec(sysroot, deployment);
    if (ctx.json) ctx.printJson({ changed, revision, deployment: deployment === null ? null : brief(deployment) });
    if (options.flag('reboot')) await rebootIfBooted(sysroot);
  },
};
