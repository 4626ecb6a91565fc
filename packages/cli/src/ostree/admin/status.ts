import { AtomicError, metadataString, parseRefspec, type Repo } from '@atomic/ostree';
import type { Deployment, SysrootState } from '@atomic/sysroot';
import { isTerminal } from '../../terminal.ts';
import { trustFromEnvironment } from '../trust.ts';
import type { Call, Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON, openSysroot } from './sysroot.ts';

/** What stock puts after a deployment's name. */
function marks(deployment: Deployment): string {
  let text = '';
  if (deployment.finalizationLocked) text = ' (finalization locked)';
  else if (deployment.staged) text = ' (staged)';
  else if (deployment.pending) text = ' (pending)';
  else if (deployment.rollback) text = ' (rollback)';
  return deployment.softRebootTarget ? `${text} (soft-reboot)` : text;
}

function commitTexts(repo: Repo, checksum: string): { version: string | undefined; title: string | undefined } {
  if (!repo.hasObject('commit', checksum)) return { version: undefined, title: undefined };
  const { metadata } = repo.loadCommit(checksum);
  return { version: metadataString(metadata, 'version'), title: metadataString(metadata, 'ostree.source-title') };
}

/** Lines about the GPG signatures of a deployment whose remote wants them. */
async function signatureLines(repo: Repo, deployment: Deployment, remote: string, call: Call): Promise<string> {
  const { commitGpgSignatures, describeGpgSignature } = await import('@atomic/ostree');
  const { signal } = call.ctx;
  try {
    const trust = trustFromEnvironment();
    const signatures = await commitGpgSignatures(repo, deployment.checksum, { remote, trust, signal });
    return (signatures ?? []).map((signature) => describeGpgSignature(signature, '    GPG: ')).join('');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AtomicError('failed', `Deployment ${deployment.index}: ${reason}`, { cause: error });
  }
}

/** `--verify`: checks a deployment's commit as a pull would; throws when it does not hold. */
async function verifyLines(
  repo: Repo,
  { checksum, origin }: Deployment,
  refspec: string | undefined,
  call: Call,
): Promise<string> {
  if (!repo.hasObject('commit', checksum)) throw new AtomicError('not-found', 'Cannot verify, failed to load commit');
  if (origin === null || refspec === undefined) throw new AtomicError('invalid', 'No origin/refspec, cannot verify');
  const { remote } = parseRefspec(refspec);
  if (remote === null) throw new AtomicError('invalid', 'Cannot verify deployment without remote');
  const { describeGpgSignature, remoteVerifier } = await import('@atomic/ostree');
  const { signal } = call.ctx;
  const verifier = remoteVerifier(repo, remote, { trust: trustFromEnvironment(), details: true, signal });
  if (!verifier.commits) {
    throw new AtomicError(
      'invalid',
      `Cannot verify commit for remote ${remote}; GPG verification disabled, and no signapi verifiers configured`,
    );
  }
  const detached = repo.readDetachedMetadata(checksum);
  if (detached === null) throw new AtomicError('invalid', "Can't verify commit without detached metadata");
  const { gpg, messages } = await verifier.verifyCommit(checksum, repo.loadObject('commit', checksum), detached);
  return [...gpg.map((signature) => describeGpgSignature(signature, 'GPG: ')), ...messages].join('');
}

async function print(repo: Repo, deployment: Deployment, call: Call): Promise<void> {
  const { ctx, options } = call;
  const { version, title } = commitTexts(repo, deployment.checksum);
  const { os, checksum, serial, origin, unlocked } = deployment;
  ctx.print(`${deployment.booted ? '*' : ' '} ${os} ${checksum}.${serial}${marks(deployment)}`);
  if (version !== undefined) ctx.print(`    Version: ${version}`);
  if (unlocked !== 'none') {
    const text = `Unlocked: ${unlocked}`;
    ctx.print(`    ${isTerminal(1) ? `\x1b[31m\x1b[1m${text}\x1b[22m\x1b[0m` : text}`);
  }
  if (deployment.pinned) ctx.print('    Pinned: yes');
  const refspec = origin?.get('origin', 'refspec');
  if (origin === null) ctx.print('    origin: none');
  else {
    ctx.print(refspec === undefined ? '    origin: <unknown origin type>' : `    origin refspec: ${refspec}`);
    if (title !== undefined) ctx.print(`    \`- ${title}`);
  }
  if (options.flag('verify')) {
    ctx.print(await verifyLines(repo, deployment, refspec, call));
    return;
  }
  const remote = refspec === undefined ? null : parseRefspec(refspec).remote;
  if (remote === null || options.flag('skip-signatures') || !repo.remotes().includes(remote)) return;
  const { remoteBoolean } = await import('@atomic/ostree');
  if (remoteBoolean(repo, remote, 'gpg-verify') === false) return;
  ctx.write(await signatureLines(repo, deployment, remote, call));
}

/** With the field names of stock's `--json`. */
function describe(repo: Repo, deployment: Deployment): Record<string, unknown> {
  const { version, title } = commitTexts(repo, deployment.checksum);
  return {
    checksum: deployment.checksum,
    stateroot: deployment.os,
    refspec: deployment.origin?.get('origin', 'refspec') ?? null,
    serial: deployment.serial,
    index: deployment.index,
    booted: deployment.booted,
    pending: deployment.pending,
    rollback: deployment.rollback,
    'finalization-locked': deployment.finalizationLocked,
    'soft-reboot-target': deployment.softRebootTarget,
    staged: deployment.staged,
    pinned: deployment.pinned,
    unlocked: deployment.unlocked,
    ...(version === undefined ? {} : { version }),
    ...(title === undefined ? {} : { 'source-title': title }),
  };
}

function defaultText({ deployments, booted }: SysrootState): string {
  if (deployments.length === 0) throw new AtomicError('invalid', 'Not in a booted OSTree system');
  return booted !== null && deployments[0] === booted ? 'default' : 'not-default';
}

export const verb: Verb = {
  args: '',
  summary: 'List deployments',
  options: [
    ...ADMIN,
    { long: 'verify', short: 'V', text: 'Print the commit verification status' },
    { long: 'json', short: 'J', text: 'Emit JSON' },
    { long: 'skip-signatures', short: 'S', text: 'Skip signatures in output' },
    {
      long: 'is-default',
      short: 'D',
      text: 'Output "default" if booted into the default deployment, otherwise "not-default"',
    },
    ...ADMIN_COMMON,
  ],
  examples: [
    'ostree admin status',
    'ostree admin status --json | jq -r .deployments[0].checksum',
    'ostree admin status --sysroot=/mnt --verify',
  ],
  async run(call) {
    const { ctx, options } = call;
    const sysroot = await openSysroot(options.value('sysroot'));
    const state = sysroot.load();
    if (ctx.json) ctx.printJson({ deployments: state.deployments.map((one) => describe(sysroot.repo, one)) });
    else if (options.flag('is-default')) ctx.print(defaultText(state));
    else if (state.deployments.length === 0) ctx.print('No deployments.');
    else for (const deployment of state.deployments) await print(sysroot.repo, deployment, call);
  },
};
