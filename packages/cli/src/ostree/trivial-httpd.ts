import { spawn } from 'node:child_process';
import { closeSync, constants, lstatSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { type ServeOptions, serveFolder } from '@atomic/ostree';
import { type Options, UsageError } from './options.ts';
import { type Call, COMMON, type Verb } from './verb.ts';

/** The name and password `--require-basic-auth` asks for, in stock too. */
const BASIC_AUTH = { user: 'foouser', password: 'barpw' };
/** How often the folder and the parent process are looked at, in milliseconds. */
const WATCH_INTERVAL = 200;

function faults(options: Options, kind: 'random-500s' | 'random-408s'): ServeOptions['random500s'] {
  const percentage = options.int(kind) ?? 0;
  if (percentage < 0 || percentage > 99) throw new UsageError(`Invalid --${kind}=${percentage}`);
  return percentage === 0 ? undefined : { percentage, max: options.int(`${kind}-max`) ?? 100 };
}

/** Where log lines go; undefined when nobody asked for them. */
function logger({ ctx, options }: Call): ((line: string) => void) | undefined {
  const path = options.value('log-file');
  if (path === undefined) return undefined;
  const fd = path === '-' ? null : openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  return (line) => {
    const now = new Date();
    const local = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString();
    const text = `${local.slice(0, 10)} ${local.slice(11, 23)}000 - ${line}\n`;
    if (fd === null) ctx.write(text);
    else writeSync(fd, text);
  };
}

/** Runs this command line again as a process of its own; resolves when that is ready to serve. */
async function daemonize(): Promise<void> {
  const args = process.argv.slice(2).filter((arg) => arg !== '--daemonize' && arg !== '-d');
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', ...args, '--ready-fd=3'], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const pipe = child.stdio[3];
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    pipe?.once('data', () => resolve());
    child.once('exit', () => reject(new UsageError('Child process failed during setup')));
  });
  child.removeAllListeners();
  pipe?.destroy();
  child.unref();
}

/** Resolves when there is no more reason to serve. */
function untilDone(call: Call, root: string, alone: boolean): Promise<void> {
  const parent = process.ppid;
  const { signal } = call.ctx;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const gone = call.options.flag('autoexit') && lstatSync(root, { throwIfNoEntry: false }) === undefined;
      if (!gone && (alone || process.ppid === parent)) return;
      clearInterval(timer);
      resolve();
    }, WATCH_INTERVAL);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      resolve();
    });
  });
}

export const verb: Verb = {
  args: '[DIR]',
  summary: 'Simple webserver',
  options: [
    { long: 'daemonize', short: 'd', text: 'Fork into background when ready' },
    { long: 'autoexit', text: 'Automatically exit when directory is deleted' },
    { long: 'port', short: 'P', arg: 'PORT', int: true, text: 'Use the specified TCP port' },
    { long: 'port-file', short: 'p', arg: 'PATH', text: 'Write port number to PATH (- for standard output)' },
    { long: 'force-range-requests', text: 'Force range requests by only serving half of files' },
    { long: 'require-basic-auth', text: 'Require username foouser, password barpw' },
    {
      long: 'random-500s',
      arg: 'PERCENTAGE',
      int: true,
      text: 'Generate random HTTP 500 errors approximately for PERCENTAGE requests',
    },
    { long: 'random-500s-max', arg: 'MAX', int: true, text: 'Limit HTTP 500 errors to MAX (default 100)' },
    {
      long: 'random-408s',
      arg: 'PERCENTAGE',
      int: true,
      text: 'Generate random HTTP 408 errors approximately for PERCENTAGE requests',
    },
    { long: 'random-408s-max', arg: 'MAX', int: true, text: 'Limit HTTP 408 errors to MAX (default 100)' },
    { long: 'log-file', arg: 'PATH', text: 'Put logs here (use - for stdout)' },
    { long: 'expected-cookies', arg: 'KEY=VALUE', text: 'Expect given cookies in the http request' },
    { long: 'expected-header', arg: 'KEY=VALUE', text: 'Expect given headers in the http request' },
    { long: 'ready-fd', arg: 'FD', int: true, text: 'Say on this descriptor when ready', hidden: true },
    ...COMMON,
  ],
  examples: ['ostree trivial-httpd --autoexit --port-file=port repo'],
  async run(call) {
    const { ctx, options, args } = call;
    const [root = '.'] = args;
    if (options.flag('daemonize')) {
      if (options.value('log-file') === '-') {
        throw new UsageError('Cannot use --log-file=- and --daemonize at the same time', true);
      }
      await daemonize();
      return;
    }
    const readyFd = options.int('ready-fd');
    await using server = await serveFolder(root, {
      port: options.int('port'),
      forceRanges: options.flag('force-range-requests'),
      basicAuth: options.flag('require-basic-auth') ? BASIC_AUTH : undefined,
      expectedCookies: options.list('expected-cookies'),
      expectedHeaders: options.list('expected-header'),
      random500s: faults(options, 'random-500s'),
      random408s: faults(options, 'random-408s'),
      log: logger(call),
    });
    const portFile = options.value('port-file');
    if (portFile === '-') ctx.print(String(server.port));
    else if (portFile !== undefined) writeFileSync(portFile, `${server.port}\n`);
    if (readyFd !== undefined) {
      writeSync(readyFd, '\0');
      closeSync(readyFd);
    }
    await untilDone(call, root, readyFd !== undefined);
  },
};
