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
  const tryInMachine = (repo: Repo, commit: Checksum) => tryCommit(ctx, config, repo, commit);
  const common = { config, sign, tryInMachine, signal, progress };
  if (options.once) {
    const event = await watchOnce(common);
    tell(ctx, event);
    return event.event === 'failed' ? 1 : 0;
  }
  await watch({
    ...common,
    onEvent: (event) => tell(ctx, event),
    onError: (error) => ctx.warn(`error: ${error.message}`),
  });
  return 0;
}

function tell(ctx: Context, event: WatchEvent): void {
  if (ctx.json) ctx.printJson(event);
  else if (event.event === 'unchanged') ctx.print(`${event.ref}: unchanged`);
  else if (event.event === 'failed') ctx.print(`${event.ref}: ${event.step} failed: ${event.reason}`);
  else ctx.print(`${event.ref} => ${event.version === undefined ? '' : `${event.version} `}${event.commit}`);
}

/** The branch of a commit that is being tried. */
const TRIED = 'atomic/smoke-test';

/** Boots a commit in a machine made for it, up to its login. */
async function tryCommit(ctx: Context, config: WatchConfig, repo: Repo, commit: Checksum): Promise<void> {
  const { buildImage } = await import('@atomic/compose');
  const { asArray, asString, AtomicError } = await import('@atomic/ostree');
  const { EMULATED_KARGS, Machine } = await import('@atomic/vm');
  const { mkdtempSync, rmSync } = await import('node:fs');
  const { join } = await import('node:path');
  const test = config['smoke-test'];
  if (test === undefined || Array.isArray(test)) return;
  const size = parseSize(test.vm.size);
  if (size === undefined)
    throw new AtomicError('usage', `'smoke-test.vm.size' is ${test.vm.size}, which is no size such as 4G`);
  const { signal, progress } = ctx;
  const folder = mkdtempSync(join(config.cachedir, 'smoke-test-'));
  try {
    const out = join(folder, 'disk.qcow2');
    const own = repo.loadCommit(commit).metadata.get('atomic.kernel-arguments');
    const kargs = [...(own === undefined ? [] : asArray(own.value).map(asString)), ...EMULATED_KARGS];
    // Images are of branches.
    repo.setRef(TRIED, commit);
    await buildImage({ repo, ref: TRIED, out, format: 'qcow2', size, os: 'smoke-test', kargs, signal, progress });
    progress({ phase: 'smoke test', message: 'booting the commit' });
    await using machine = await Machine.start({ disk: out, format: 'qcow2', memoryMiB: 1024, boot: 'loader', signal });
    await machine.waitFor(/login:/, { timeoutSeconds: test.vm.timeout, signal });
  } finally {
    repo.setRef(TRIED, null);
    rmSync(folder, { recursive: true, force: true });
  }
}
