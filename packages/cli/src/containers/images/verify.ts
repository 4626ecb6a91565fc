import type { VerifyReport } from '@atomic/containers';
import type { Command } from 'commander';
import { findImages, openBackends } from '../backends.ts';
import { add, containerAction } from '../common.ts';

interface VerifyFlags {
  all?: boolean;
  storage?: string;
}

/** Adds `atomic images verify`. */
export function register(images: Command): void {
  add(images, 'verify', 'hash what is kept of images, and say whether it is what it was', [
    'atomic images verify registry.example/web',
    'atomic images verify --all',
  ])
    .argument('[images...]', 'names, or beginnings of ids')
    .option('-a, --all', 'all of them')
    .option('--storage <engine>', 'only in docker, podman or atomic')
    .action(
      containerAction(async (ctx, names: string[], flags: VerifyFlags) => {
        const { AtomicError } = await import('@atomic/ostree');
        if ((names.length === 0) !== (flags.all === true)) {
          throw new AtomicError('usage', 'name the images to verify, or say --all');
        }
        await using backends = await openBackends(flags.storage);
        const targets =
          flags.all === true
            ? (
                await Promise.all(
                  backends.images.map(async (backend) =>
                    (await backend.list()).map(({ id, names: [first] }) => ({ backend, name: first ?? id })),
                  ),
                )
              ).flat()
            : (
                await Promise.all(
                  names.map(async (name) =>
                    (await findImages(backends, name)).map(({ backend }) => ({ backend, name })),
                  ),
                )
              ).flat();
        const reports: VerifyReport[] = [];
        for (const { backend, name } of targets) {
          const report = await backend.verify(name, { signal: ctx.signal, progress: ctx.progress });
          reports.push(report);
          if (ctx.json) continue;
          const count = report.checked.length;
          ctx.print(`${name} (${backend.name}): ${report.good ? `good, ${count} checked` : 'NOT what it was'}`);
          for (const problem of report.problems) ctx.print(`  ${problem}`);
          if (ctx.verbose) for (const checked of report.checked) ctx.print(`  ${checked}`);
        }
        if (ctx.json) ctx.printJson(reports);
        return reports.every(({ good }) => good) ? 0 : 1;
      }),
    );
}
