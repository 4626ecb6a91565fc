import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type ChangeFlags, changing, open, report, withChangeOptions } from './common.ts';
import { type EditFlags, editsOf, withEditOptions } from './layering.ts';

interface RebaseFlags extends ChangeFlags, EditFlags {
  branch?: string;
  remote?: string;
  skipPurge?: boolean;
  skipBranchCheck?: boolean;
  disallowDowngrade?: boolean;
  customOriginUrl?: string;
  customOriginDescription?: string;
}

/** Adds `atomic host rebase`. */
export function register(host: Command): void {
  const command = add(host, 'rebase', 'follow another branch, remote or commit from now on', [
    'atomic host rebase debian/13/x86_64/server      another branch of the same remote',
    'atomic host rebase other:                       the same branch of another remote',
    'atomic host rebase other:fedora/x86_64/iot 41   another system, at a certain version',
    'atomic host rebase /media/repo:main             a commit from a repository at hand',
    'atomic host rebase ostree-image-signed:docker://registry.example/os:latest    a container image',
  ])
    .argument('[refspec]', 'REMOTE:BRANCH, or the part of it that changes; a commit; /PATH:REV; a container image')
    .argument('[revision]', 'a version or checksum of that branch, instead of its newest');
  withEditOptions(withChangeOptions(command, host))
    .option('-b, --branch <branch>', 'follow this branch')
    .option('-m, --remote <remote>', 'follow this remote')
    .option('--skip-purge', 'keep the ref of the branch followed before')
    .option('--skip-branch-check', 'take a commit whether or not it is on the branch')
    .option('--disallow-downgrade', 'refuse a version older than the present one')
    .option('--custom-origin-url <url>', 'where a commit given as checksum really comes from')
    .option('--custom-origin-description <text>', '…in words')
    .addOption(host.createOption('--experimental').hideHelp())
    .action(
      action(async (ctx, given: string | undefined, revision: string | undefined, options: RebaseFlags) => {
        const { rebase } = await import('@atomic/sysroot');
        const refspec = given ?? (await fromOptions(options));
        const customOrigin = await customOriginOf(options);
        const sysroot = await open(options);
        const { skipPurge, skipBranchCheck, disallowDowngrade } = options;
        const edits = editsOf(options);
        const change = { ...(await changing(ctx, options)), edits, skipPurge, skipBranchCheck, disallowDowngrade };
        const result = await rebase(sysroot, { refspec, revision, customOrigin }, change);
        if (!ctx.json) ctx.print(`Rebasing to ${result.refspec}`);
        return report(ctx, sysroot, result, { ...options, unchanged: 'No change.' });
      }),
    );
}

async function fromOptions({ branch, remote }: RebaseFlags): Promise<string> {
  if (remote !== undefined) return `${remote}:${branch ?? ''}`;
  if (branch !== undefined) return branch;
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', 'Must specify refspec, or -b branch or -m remote');
}

async function customOriginOf({ customOriginUrl: url, customOriginDescription: description }: RebaseFlags) {
  if (url === undefined) return undefined;
  if (description !== undefined && description !== '') return { url, description };
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', '--custom-origin-description must be supplied with --custom-origin-url');
}
