import type { Command } from 'commander';
import { add, containerAction } from '../common.ts';
import { tableLines } from '../table.ts';
import { profileFolders } from '../verb.ts';

/** Adds `atomic containers profiles`. */
export function register(containers: Command): void {
  add(containers, 'profiles', 'the profiles of super-privileged containers, and what each asks for', [
    'atomic containers profiles',
    'atomic containers profiles rsyslog            its command, and what it may do to the machine',
    'atomic run --profile=rsyslog my/rsyslog       use it',
  ])
    .argument('[name]', 'only this one, whole')
    .action(
      containerAction(async (ctx, name: string | undefined) => {
        const { findProfile, listProfiles, quoteWords, readWords, riskLines, risksOf } = await import(
          '@atomic/containers'
        );
        const folders = await profileFolders();
        if (name === undefined) {
          const all = listProfiles(folders);
          if (ctx.json) ctx.printJson(all);
          else {
            const lines = tableLines(all, [
              { title: 'PROFILE', value: ({ kind }) => kind },
              { title: 'FROM', value: ({ from }) => from },
              { title: 'WHAT FOR', value: ({ description }) => description },
            ]);
            for (const line of lines) ctx.print(line);
          }
          return;
        }
        const profile = findProfile(name, folders);
        const words = readWords(profile.run, `the profile ${name}`);
        const risks = risksOf(words);
        if (ctx.json) {
          ctx.printJson({ ...profile, risks });
          return;
        }
        ctx.print(`${profile.kind} (${profile.from}): ${profile.description}`);
        ctx.print(`  ${quoteWords(words)}`);
        for (const line of riskLines(risks)) ctx.print(line);
      }),
    );
}
