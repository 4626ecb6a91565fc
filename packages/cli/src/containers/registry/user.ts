import type { Command } from 'commander';
import type { Context } from '../../context.ts';
import { containerAction } from '../common.ts';
import { add, defaultUsers } from './common.ts';

interface UserOptions {
  htpasswd?: string;
  passwordStdin?: boolean;
}

/** Adds `atomic registry user`. */
export function register(registry: Command): void {
  const user = registry.command('user').description('who may use a registry served with --htpasswd');
  const withFile = (command: Command): Command =>
    command.option('--htpasswd <file>', 'the file of users (default: among the state of containers)');
  withFile(
    add(user, 'add', 'add a user, or change a password', [
      'atomic registry user add alice                                makes a password and prints it',
      'atomic registry user add alice --password-stdin < FILE',
    ]),
  )
    .argument('<name>')
    .option('--password-stdin', 'read the password from standard input')
    .action(
      containerAction(async (ctx, name: string, options: UserOptions) => {
        const { setUser } = await import('@atomic/containers');
        const path = options.htpasswd ?? defaultUsers();
        const given = options.passwordStdin ? (await readInput()).replace(/\r?\n$/, '') : undefined;
        const { randomBytes } = await import('node:crypto');
        const password = given ?? randomBytes(18).toString('base64url');
        const { mkdir } = await import('node:fs/promises');
        const { dirname } = await import('node:path');
        await mkdir(dirname(path), { recursive: true, mode: 0o711 });
        const how = await setUser(path, name, password);
        if (ctx.json)
          return ctx.printJson({ user: name, how, htpasswd: path, ...(given === undefined ? { password } : {}) });
        ctx.print(`${how} ${name} in ${path}`);
        if (given === undefined) ctx.print(`password: ${password}`);
      }),
    );
  withFile(add(user, 'remove', 'take a user away', ['atomic registry user remove alice']))
    .argument('<name>')
    .action(
      containerAction(async (ctx: Context, name: string, options: UserOptions) => {
        const { removeUser } = await import('@atomic/containers');
        const path = options.htpasswd ?? defaultUsers();
        if (!removeUser(path, name)) {
          const { AtomicError } = await import('@atomic/ostree');
          throw new AtomicError('not-found', `${path} has no user ${name}`);
        }
        if (ctx.json) ctx.printJson({ user: name, how: 'removed', htpasswd: path });
        else ctx.print(`removed ${name} from ${path}`);
      }),
    );
  withFile(add(user, 'list', 'list the users', ['atomic registry user list'])).action(
    containerAction(async (ctx: Context, options: UserOptions) => {
      const { listUsers } = await import('@atomic/containers');
      const users = listUsers(options.htpasswd ?? defaultUsers());
      if (ctx.json) ctx.printJson(users);
      else for (const name of users) ctx.print(name);
    }),
  );
}

async function readInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
