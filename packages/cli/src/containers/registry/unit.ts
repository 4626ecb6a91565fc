import type { Command } from 'commander';
import { collect, containerAction } from '../common.ts';
import { add } from './common.ts';

interface UnitOptions {
  credential: string[];
  program: string;
}

/** Adds `atomic registry unit`. */
export function register(registry: Command): void {
  add(registry, 'unit', 'print a systemd service that runs a registry as a user of its own', [
    'atomic registry unit -- --listen=:5000 --tls > /etc/systemd/system/atomic-registry.service',
    'atomic registry unit --credential=htpasswd:/etc/registry.users -- --listen=:5000 --tls',
    'systemctl enable --now atomic-registry',
  ])
    .argument('[options...]', 'options of atomic registry serve, after --')
    .option(
      '--credential <option:file>',
      'an option of serve whose file only root can read: htpasswd, tls-cert, tls-key, token-key (repeatable)',
      collect,
      [],
    )
    .option('--program <path>', 'where atomic is', '/usr/bin/atomic')
    .action(
      containerAction(async (ctx, args: string[], options: UnitOptions) => {
        const { registryUnit } = await import('@atomic/containers');
        const credentials: Record<string, string> = {};
        for (const text of options.credential) {
          const [, name, path] = /^(htpasswd|tls-cert|tls-key|token-key):(\/.+)$/.exec(text) ?? [];
          if (name === undefined || path === undefined) {
            const { AtomicError } = await import('@atomic/ostree');
            throw new AtomicError('usage', `--credential=${text} is not OPTION:FILE`, {
              hint: 'htpasswd:/etc/registry.users, say',
            });
          }
          credentials[name] = path;
        }
        const unit = registryUnit({ program: options.program, args, credentials });
        if (ctx.json) ctx.printJson({ unit });
        else ctx.write(unit);
      }),
    );
}
