import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, look, osOption } from './common.ts';

interface DiffFlags extends HostOptions {
  content?: boolean;
}

/** Adds `atomic host config diff`. */
export function register(host: Command): void {
  const config = host.command('config').description("how this machine's configuration differs from its tree's");
  config.addHelpText('after', '\nExamples:\n  atomic host config diff\n  atomic host config diff --content /etc/ssh');
  add(config, 'diff', 'show what was added, changed and removed in /etc (C: the defaults changed, too)', [
    'atomic host config diff                        names only: A added, M changed, D removed',
    'atomic host config diff --content /etc/ssh     how files there differ',
    'atomic host config diff --json | jq .changed',
  ])
    .addOption(osOption(host))
    .argument('[paths...]', 'only these files or folders of /etc')
    .option('-c, --content', 'show how each file differs')
    .action(
      action(async (ctx, paths: string[], options: DiffFlags) => {
        const { configDiff, etcFacts } = await import('@atomic/sysroot');
        const { os, content } = options;
        const sysroot = await look(options);
        const diff = await configDiff(sysroot, { os, content, paths, signal: ctx.signal });
        const { added, changed, removed } = diff;
        const differing = new Set([...added, ...changed, ...removed]);
        const merged = etcFacts(sysroot, diff.deployment)['etc-conflicts']?.conflicts ?? [];
        // Those that are as in the tree by now are settled.
        const conflicts = merged.filter(({ path }) => differing.has(path));
        if (ctx.json) {
          ctx.printJson({
            added,
            changed,
            removed,
            conflicts,
            ...(diff.content === undefined ? {} : { content: diff.content }),
          });
          return;
        }
        for (const [letter, list] of [
          ['M', changed],
          ['D', removed],
          ['A', added],
        ] as const) {
          for (const path of list) ctx.print(`${letter}    ${path}`);
        }
        for (const { path } of conflicts) ctx.print(`C    ${path}`);
        for (const [path, text] of diff.content ?? []) if (text !== '') ctx.print(`\n${path}:\n${text.trimEnd()}`);
      }),
    );
}
