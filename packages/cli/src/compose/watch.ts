import type { WatchConfig, WatchEvent } from '@atomic/compose';
import type { Checksum, Repo } from '@atomic/ostree';
import type { Command } from 'commander';
import { action, type Context } from '../context.ts';
import { parseSize } from './common.ts';
import { signing } from './tree-options.ts';

/** `atomic compose watch`. */
export function register(compose: Command): void {
  compose
    .command('watch')
    .description('compose whenever packages or the treefile change, try the commit, publish it')
    .argument('<config>', 'YAML: what to watch and what to do')
    .option('--once', 'look once, and end')
    .addHelpText(
      'after',
      `
Ends with status 1 when --once finds that something failed. docs/compose-server.md has the configuration and a unit.

Examples:
  atomic compose watch /etc/atomic/continuous.yaml
  atomic compose watch --once --json continuous.yaml`,
    )
    .action(action(watchAction));
}

async function watchAction(ctx: Context, path: string, options: { once?: boolean }): Promise<number> {
  const { readWatchConfig, requireRoot, watch, watchOnce } = await import('@atomic/compose');
  requireRoot();
  const config = readWatchConfig(path);
  const { signal, progress } = ctx;
  const sign = await signing({
    gpgSign: config['gpg-sign'],
    ...(config['gpg-homedir'] === undefined ? {} : { gpgHomedir: config['gpg-homedir'] }),
    sign: [],
    signFromFile: config['sign-from-file'],
    signType: config['sign-type'],
  });
  const tryInMachine = (repo: Repo, commit: Checksum) => tried(ctx, config, repo, commit);
  const onEvent = (event: WatchEvent): void => tell(ctx, event);
  const common = { config, sign, tryInMachine, onEvent, signal, progress };
  if (options.once) {
    const event = await watchOnce(common);
    return event.event === 'failed' ? 1 : 0;
  }
  await watch({ ...common, onError: (error) => ctx.warn(`error: ${error.message}`) });
  return 0;
}

function tell(ctx: Context, event: WatchEvent): void {
  if (ctx.json) ctx.printJson(event);
  else if (event.event === 'unchanged') ctx.print(`${event.ref}: unchanged`);
  else if (event.event === 'failed')
    ctx.print(
      `${event.ref}: ${event.step} failed: ${event.reason}${event.details === undefined ? '' : `\n${event.details}`}`,
    );
  else ctx.print(`${event.ref} => ${event.version === undefined ? '' : `${event.version} `}${event.commit}`);
}

async function tried(ctx: Context, config: WatchConfig, repo: Repo, commit: Checksum): Promise<void> {
  const test = config['smoke-test'];
  if (test === undefined || Array.isArray(test)) return;
  const { AtomicError } = await import('@atomic/ostree');
  const { tryCommit } = await import('./try-commit.ts');
  const size = parseSize(test.vm.size);
  if (size === undefined)
    throw new AtomicError('usage', `'smoke-test.vm.size' is ${test.vm.size}, which is no size such as 4G`);
  const { signal, progress } = ctx;
  await tryCommit(repo, commit, { folder: config.cachedir, size, timeoutSeconds: test.vm.timeout, signal, progress });
}
