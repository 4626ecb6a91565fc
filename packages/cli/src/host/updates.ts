import type { UpdatesRun } from '@atomic/sysroot';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { add, type HostOptions, imaging, layering, look, next, open, osOption, pulling, running } from './common.ts';

/** Adds a command below `updates`; `--sysroot` and `--os` are those of `updates`, wherever they stand. */
const below = (updates: Command, name: string, summary: string, examples: string[]): Command =>
  updates
    .command(name)
    .description(summary)
    .addHelpText('after', `\nExamples:\n${examples.map((line) => `  ${line}`).join('\n')}`);

/** Adds `atomic host updates` and what belongs to it. */
export function register(host: Command): void {
  const updates = add(host, 'updates', 'what will reboot this machine by itself, when, and why', [
    'atomic host updates                                   what happens next, and why',
    'atomic host updates set policy=apply',
    "atomic host updates set window.night='sat,sun 02:00 3h Europe/Berlin'",
    'atomic host updates hold --until=2d before the fair   nothing by itself for two days',
    'atomic host updates now --reboot                      no waiting',
  ])
    .addOption(osOption(host))
    .addHelpText(
      'after',
      `
Settings are in /etc/atomic/updates.d/*.conf; those of the tree in /usr/lib/atomic/updates.d/.`,
    )
    .action(
      action(async (ctx, options: HostOptions) => {
        const { updatesJson, updatesLines, viewUpdates } = await import('@atomic/sysroot');
        const view = await viewUpdates(await look(options), { os: options.os });
        if (ctx.json) ctx.printJson(updatesJson(view));
        else for (const line of updatesLines(view)) ctx.print(line);
      }),
    );

  below(updates, 'run', 'do what is due now; atomic-update.service runs this', ['atomic host updates run']).action(
    action(async (ctx, _options: object, command: Command) => {
      const { AtomicError } = await import('@atomic/ostree');
      const { runUpdates } = await import('@atomic/sysroot');
      const { os } = meant(command);
      try {
        const sysroot = await open(meant(command));
        const result = await runUpdates(sysroot, {
          ...running(ctx),
          ...layering,
          ...imaging,
          ...(await pulling()),
          os,
          wait: false,
        });
        return await tell(ctx, result);
      } catch (error) {
        if (!(error instanceof AtomicError && error.code === 'locked')) throw error;
        // The timer comes again soon; somebody at work is no failure.
        ctx.print(`Another command is changing deployments: ${error.message}`);
        return 0;
      }
    }),
  );

  below(updates, 'now', 'look, fetch and stage at once, whatever the schedule says', [
    'atomic host updates now',
    'atomic host updates now --reboot',
  ])
    .option('-r, --reboot', 'reboot when it is ready')
    .action(
      action(async (ctx, options: { reboot?: boolean }, command: Command) => {
        const { updateNow } = await import('@atomic/sysroot');
        const sysroot = await open(meant(command));
        const { os } = meant(command);
        const result = await updateNow(sysroot, { ...running(ctx), ...layering, ...imaging, ...(await pulling()), os });
        const status = await tell(ctx, result);
        if (result.steps.some(({ did }) => did === 'stage') && status === 0) await next(ctx, sysroot, options.reboot);
        return status;
      }),
    );

  below(updates, 'hold', 'let nothing happen by itself for a while', [
    'atomic host updates hold                              until it is released',
    'atomic host updates hold --until=12h the audit',
    'atomic host updates hold --until=2026-12-24T18:00Z',
  ])
    .argument('[reason...]', 'why, for whoever asks')
    .option('--until <when>', 'a time span from now, or a date and time')
    .action(
      action(async (ctx, words: string[], options: { until?: string }, command: Command) => {
        const { holdUpdates } = await import('@atomic/sysroot');
        const until = options.until === undefined ? null : await moment(options.until);
        const why = words.length === 0 ? 'by an administrator' : words.join(' ');
        const sysroot = await look(meant(command));
        const { hold } = await holdUpdates(sysroot, { until, why }, { ...running(ctx), os: meant(command).os });
        if (ctx.json) ctx.printJson({ hold });
        else ctx.print(`Held${until === null ? '' : ` until ${new Date(until * 1000).toISOString()}`}: ${why}`);
      }),
    );

  below(updates, 'release', 'end a hold', ['atomic host updates release']).action(
    action(async (ctx, _options: object, command: Command) => {
      const { releaseUpdates } = await import('@atomic/sysroot');
      const { hold } = await releaseUpdates(await look(meant(command)), { ...running(ctx), os: meant(command).os });
      if (ctx.json) ctx.printJson({ hold });
      else ctx.print('Updates go on');
    }),
  );

  below(updates, 'set', 'change settings; an empty value takes one back', [
    'atomic host updates set policy=apply max-wait=2h',
    "atomic host updates set window.night='daily 02:00 3h'",
    'atomic host updates set window.night=                 no window of that name',
    'atomic host updates set wariness=0                    first in every roll-out: a canary',
  ])
    .argument('<settings...>', 'KEY=VALUE')
    .action(
      action(async (ctx, settings: string[], _options: object, command: Command) => {
        const { setUpdates } = await import('@atomic/sysroot');
        const sysroot = await look(meant(command));
        const { path, config } = setUpdates(sysroot, settings, { os: meant(command).os });
        if (ctx.json) ctx.printJson({ path, policy: config.policy, warnings: config.warnings });
        else {
          ctx.print(`Wrote ${path}`);
          for (const warning of config.warnings) ctx.warn(`warning: ${warning}`);
        }
      }),
    );

  below(updates, 'drive', 'take an update from a drive, if settings want that; run when one is plugged in', [
    'atomic host updates drive /media/usb',
    'atomic host updates drive --device=/dev/sdb1',
  ])
    .argument('[path]', 'where the drive is mounted')
    .option('--device <node>', 'mount this device, read-only, while it is looked at')
    .action(
      action(async (ctx, path: string | undefined, options: { device?: string }, command: Command) => {
        const { updateFromDrive } = await import('@atomic/sysroot');
        const { AtomicError } = await import('@atomic/ostree');
        const { device } = options;
        if ((path === undefined) === (device === undefined)) {
          throw new AtomicError('usage', 'name the folder a drive is mounted on, or its --device');
        }
        const sysroot = await open(meant(command));
        const result = await updateFromDrive(sysroot, device === undefined ? { path: path ?? '' } : { device }, {
          ...running(ctx),
          ...layering,
          ...imaging,
          ...(await pulling()),
          os: meant(command).os,
        });
        if (ctx.json) ctx.printJson(result);
        else
          for (const { text } of result.because) ctx.print(`${result.staged ? 'Staged' : 'Nothing staged'}: ${text}`);
      }),
    );
}

/** The sysroot and the system that are meant. */
function meant(command: Command): HostOptions {
  return command.optsWithGlobals<HostOptions>();
}

/** Says what was done; the status is 1 when something of it failed. */
async function tell(ctx: Context, result: UpdatesRun): Promise<number> {
  const { updatesJson } = await import('@atomic/sysroot');
  const { steps, decision } = result;
  if (ctx.json) ctx.printJson({ steps, ...Object(updatesJson(result)) });
  else {
    for (const { text, error } of steps) ctx.print(error === undefined ? text : `${text}: ${error}`);
    if (decision.now === 'wait') for (const { text } of decision.because) if (text !== '') ctx.print(`- ${text}`);
  }
  return steps.some(({ error }) => error !== undefined) ? 1 : 0;
}

/** A time span from now (`2d`), or a date and time as stock `ostree` reads them; in Unix seconds. */
async function moment(text: string): Promise<number> {
  const { AtomicError } = await import('@atomic/ostree');
  const { parseDuration } = await import('@atomic/sysroot');
  const { parseDate } = await import('../ostree/parse-date.ts');
  const now = Math.floor(Date.now() / 1000);
  if (/^[\d.]+\s*[a-z]/.test(text) && !text.includes('-')) return now + parseDuration(text, '--until');
  const at = parseDate(text, now);
  if (at === null) throw new AtomicError('usage', `--until: '${text}' is neither a time span nor a date`);
  if (at <= now) throw new AtomicError('usage', `--until: '${text}' is over`);
  return at;
}
