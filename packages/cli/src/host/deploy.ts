import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type ChangeFlags, changing, open, report, UNCHANGED, withChangeOptions } from './common.ts';
import { type EditFlags, editsOf, withEditOptions } from './layering.ts';

interface DeployFlags extends ChangeFlags, EditFlags {
  preview?: boolean;
  skipBranchCheck?: boolean;
  disallowDowngrade?: boolean;
}

/** Adds `atomic host deploy`. */
export function register(host: Command): void {
  const command = add(host, 'deploy', 'deploy a certain version or commit of the branch', [
    'atomic host deploy 12.20240105.0',
    'atomic host deploy revision=CHECKSUM --reboot',
    'atomic host deploy CHECKSUM --skip-branch-check     a commit that is on no branch',
  ]).argument('<version>', 'a version, or a commit checksum; version=… and revision=… say which');
  withEditOptions(withChangeOptions(command, host))
    .option('--preview', 'only find it and show what it is')
    .option('--skip-branch-check', 'take a commit whether or not it is on the branch')
    .option('--disallow-downgrade', 'refuse a version older than the present one')
    .action(
      action(async (ctx, version: string, options: DeployFlags) => {
        const { deployVersion, packageChangesJson, updateLines } = await import('@atomic/sysroot');
        const sysroot = await open(options);
        const { preview, skipBranchCheck, disallowDowngrade } = options;
        const edits = editsOf(options);
        const change = { ...(await changing(ctx, options)), edits, preview, skipBranchCheck, disallowDowngrade };
        const result = await deployVersion(sysroot, version, change);
        if (!preview || !result.changed) return report(ctx, sysroot, result, { ...options, unchanged: 'No change.' });
        const { checksum, timestamp, version: found } = result.to;
        const { packages = null, ...facts } = result;
        const changes = packageChangesJson(packages);
        if (ctx.json) ctx.printJson({ ...facts, ...changes });
        else {
          const shown = { checksum, timestamp, ...(found === undefined ? {} : { version: found }), ...changes };
          for (const line of updateLines(shown, { verbose: true }).slice(1)) ctx.print(line);
        }
        return result.changed ? 0 : UNCHANGED;
      }),
    );
}
