import type { HistoryEntry } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action } from '../context.ts';
import { add, type HostOptions, look, osOption } from './common.ts';

interface HistoryFlags extends HostOptions {
  limit: string;
  all?: boolean;
}

const utc = (seconds: number) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

/** With the field names of `rpm-ostree ex history --json`. */
function toJson({ deployment, created, command, reason, boots, firstBoot, lastBoot }: HistoryEntry) {
  const { id, osname, checksum, serial, version, timestamp, origin } = deployment;
  return {
    deployment: { id, osname, checksum, serial, version, timestamp, origin },
    'deployment-create-timestamp': created ?? null,
    ...(command === undefined ? {} : { 'deployment-create-command-line': command }),
    ...(reason === undefined ? {} : { reason }),
    'boot-count': boots,
    'first-boot-timestamp': firstBoot,
    'last-boot-timestamp': lastBoot,
  };
}

function lines(entry: HistoryEntry, since: (seconds: number) => string): string[] {
  const { deployment, created, command, reason, boots, firstBoot, lastBoot } = entry;
  const { version, timestamp, checksum, origin } = deployment;
  const key = (name: string, value: string) => `  ${name.padStart(9)}: ${value}`;
  return [
    `BootTimestamp: ${since(lastBoot)}`,
    ...(boots > 1 ? [`└ BootCount: ${boots}; first booted on ${since(firstBoot)}`] : []),
    ...(created === undefined ? [] : [`CreateTimestamp: ${since(created)}`]),
    ...(command === undefined ? [] : [`CreateCommand: ${command}`]),
    ...(reason === undefined ? [] : [`Reason: ${reason}`]),
    `  ${origin ?? checksum}`,
    version === undefined ? key('Timestamp', utc(timestamp)) : key('Version', `${version} (${utc(timestamp)})`),
    key('Commit', checksum),
  ];
}

/** Adds `atomic host history`, and what notes each boot for it. */
export function register(host: Command): void {
  add(host, 'history', 'show what was booted when, and how it came to be', [
    'atomic host history',
    'atomic host history --all --json',
  ])
    .addOption(osOption(host))
    .option('-n, --limit <n>', 'the latest N entries', '3')
    .option('--all', 'all entries')
    .action(
      action(async (ctx, options: HistoryFlags) => {
        const { AtomicError } = await import('@atomic/ostree');
        const { ago, chooseOs, historyEntries, readHistory } = await import('@atomic/sysroot');
        const limit = Number(options.limit);
        if (!Number.isSafeInteger(limit) || limit <= 0) {
          throw new AtomicError('usage', 'Limit must be positive integer');
        }
        const sysroot = await look(options);
        const os = chooseOs(sysroot.load(), options.os);
        const entries = historyEntries(readHistory(sysroot, os));
        const shown = options.all ? entries : entries.slice(0, limit);
        if (ctx.json) {
          ctx.printJson(shown.map(toJson));
          return;
        }
        const now = Date.now() / 1000;
        const since = (seconds: number) => `${utc(seconds)} (${ago(now - seconds)})`;
        for (const entry of shown) for (const line of [...lines(entry, since), '']) ctx.print(line);
        if (shown.length === 0) ctx.print('<< No entries found >>');
      }),
    );

  host
    .command('record-boot', { hidden: true })
    .description('note which deployment this boot started; run by atomic-record-boot.service')
    .option('--sysroot <path>')
    .action(
      action(async (_ctx, options: HostOptions) => {
        const { readFileSync } = await import('node:fs');
        const { noteBoot } = await import('@atomic/sysroot');
        noteBoot(await look(options), readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
      }),
    );
}
