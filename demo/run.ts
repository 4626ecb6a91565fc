// `make demo`: a treefile becomes a machine that upgrades itself and rolls back.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LOGIN, mib, runDemo } from './demo.ts';
import { ROOT } from './host.ts';
import { StepError, terminalReporter } from './report.ts';

const { values } = parseArgs({
  options: {
    state: { type: 'string', default: join(ROOT, 'build/demo') },
    cachedir: { type: 'string', default: join(ROOT, 'build/cache') },
    console: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  console.log(`Usage: demo/run.ts [--state DIR] [--cachedir DIR] [--console]
  --state     repository and disk (build/demo)
  --cachedir  packages and roots kept between runs (build/cache)
  --console   show the machine's console too`);
  process.exit(0);
}

const controller = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => controller.abort(new Error(`interrupted by ${signal}`)));

const started = performance.now();
try {
  const summary = await runDemo({
    state: values.state,
    cachedir: values.cachedir,
    progress: true,
    reporter: {
      ...terminalReporter(),
      console: values.console ? (chunk: Buffer) => void process.stdout.write(chunk) : undefined,
    },
    signal: controller.signal,
  });
  const { v1, v2 } = summary.versions;
  console.log(`\n[h] All of it held.

    version 1   ${v1.commit.slice(0, 16)}  ${v1.packages} packages   (runs now)
    version 2   ${v2.commit.slice(0, 16)}  ${v2.packages} packages   (kept beside it)
    disk image  ${mib(summary.image.allocated)} MiB on disk, ${summary.image.path}
    upgrade     ${mib(summary.pulled.bytes)} MiB pulled in ${summary.pulled.requests} requests
    memory      ${summary.guestMemoryMiB.used} of ${summary.guestMemoryMiB.total} MiB in use after the first boot
`);
  for (const { name, seconds } of summary.phases)
    console.log(`    ${name.padEnd(30)} ${seconds.toFixed(1).padStart(7)} s`);
  console.log(`    ${'in all'.padEnd(30)} ${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s

To log in and look around (user ${LOGIN.user}, password ${LOGIN.password}; Ctrl-] cuts the power):

    bin/atomic vm run ${values.state}/disk.raw --serve ${values.state}/repo --port ${summary.port}

and there, for example: atomic host status; atomic host upgrade; systemctl reboot`);
} catch (error) {
  if (controller.signal.aborted) {
    console.error(`\ndemo: ${controller.signal.reason.message}; the next run starts over`);
    process.exit(130);
  }
  if (!(error instanceof StepError)) throw error;
  console.error(`\ndemo: failed in step ${error.step}\n${error.message}`);
  process.exit(1);
}
