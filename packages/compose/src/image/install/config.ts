import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { signVerifySettings } from '../host-remote.ts';

const line = z.string().regex(/^[^\n\0]*$/, 'must be a single line');
const sshKeys = z.array(line.regex(/^(ssh-|ecdsa-|sk-)\S+ \S+/, 'must be a public key as in an authorized_keys file'));
// What crypt(3) makes: a password itself has no place in a file that many can read.
const passwordHash = line.regex(/^\$[0-9a-z]+\$[^:]+$/, "must be a password's hash, as `openssl passwd -6` prints");
const name = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'must be a user name: lower-case letters, digits, - and _');

function checkSignVerify(words: string[], context: z.RefinementCtx<string[]>): void {
  try {
    signVerifySettings(words);
  } catch (error) {
    context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : String(error) });
  }
}

const schema = z.strictObject({
  disk: z
    .string()
    .regex(/^(auto|\/dev\/\S+)$/, 'must be auto or a device such as /dev/disk/by-id/nvme-x')
    .default('auto'),
  hostname: z
    .string()
    .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/, 'must be a host name: letters, digits, - and .')
    .optional(),
  os: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be the name of a stateroot')
    .default('debian'),
  'boot-size': z
    .string()
    .regex(/^\d+[MG]$/, 'must be a size such as 512M')
    .optional(),
  'kernel-arguments': z.array(line.min(1)).default([]),
  remote: z
    .strictObject({
      name: z
        .string()
        .regex(/^[A-Za-z0-9._-]+$/)
        .default('origin'),
      url: line.min(1),
      'gpg-key': z
        .string()
        .includes('-----BEGIN PGP PUBLIC KEY BLOCK-----', 'must be a key as `gpg --armor --export` prints it')
        .optional(),
      'sign-verify': z.array(line).superRefine(checkSignVerify).optional(),
    })
    .optional(),
  root: z.strictObject({ 'password-hash': passwordHash.optional(), 'ssh-keys': sshKeys.default([]) }).optional(),
  users: z
    .array(
      z.strictObject({
        name,
        'password-hash': passwordHash.optional(),
        'ssh-keys': sshKeys.default([]),
        groups: z.array(name).default([]),
      }),
    )
    .default([]),
  files: z
    .array(
      z.strictObject({
        path: z
          .string()
          .regex(/^\/etc\/[^\0]+$/, 'must be a path below /etc')
          .refine((path) => !path.split('/').includes('..'), 'must not contain ..'),
        content: z.string(),
        mode: z
          .string()
          .regex(/^0[0-7]{3}$/, 'must be permissions such as "0644"')
          .default('0644'),
      }),
    )
    .default([]),
  // Afterwards. A medium that is left in a machine would start it over and over with "reboot".
  finally: z.enum(['poweroff', 'reboot', 'nothing'], 'must be poweroff, reboot or nothing').default('poweroff'),
});

/** How a machine is to be installed, without asking anybody. */
export type InstallConfig = z.output<typeof schema>;

/** Parse a configuration (YAML, and so JSON). Throws `invalid` naming the file, the key and what is allowed. */
export function parseInstallConfig(text: string, file: string): InstallConfig {
  let value: unknown;
  try {
    value = parseYaml(text) ?? {};
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    throw new AtomicError('invalid', `${file}: ${error.message.split('\n')[0]?.replace(/:$/, '')}`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const key = issue?.path.join('.') ?? '';
  throw new AtomicError('invalid', `${file}: ${key === '' ? '' : `'${key}' `}${issue?.message}`);
}

/** Read a configuration; see {@link parseInstallConfig}. Throws `not-found` when there is no such file. */
export function readInstallConfig(path: string): InstallConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AtomicError('not-found', `cannot read ${path}`, { cause });
  }
  return parseInstallConfig(text, path);
}
