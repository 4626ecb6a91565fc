import { readFileSync } from 'node:fs';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { parseYaml } from '../parse-yaml.ts';
import { slaveSuffix } from './propagation.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const PACKAGE = /^[a-zA-Z0-9][a-zA-Z0-9@._+:~*/=-]*$/;

const definition = z.strictObject({
  name: z.string().regex(NAME, 'must be letters, digits, dots and dashes').optional(),
  image: z.string().min(1),
  /** Installed by the image's own package manager. */
  packages: z.array(z.string().regex(PACKAGE, 'is not the name of a package')).default([]),
  /** `SOURCE[:TARGET[:ro]]`; `~` is the home. */
  mounts: z.array(z.string().min(1)).default([]),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not the name of a variable'), z.string()).default({}),
  /** Commands for `sh -c` in the new container, as root, after the packages. */
  setup: z.array(z.string()).default([]),
  /** The machine under /host. */
  host: z.boolean().default(true),
  /** The user's home, at its own place. */
  home: z.boolean().default(true),
  network: z.enum(['host', 'none', 'bridge']).default('host'),
  shell: z.string().default('/bin/sh'),
});

/** How somebody's shell container is made. */
export type ShellDefinition = Omit<z.output<typeof definition>, 'name'> & { name: string };

/** Throws `invalid` naming file, key and reason. */
export function parseDefinition(text: string, from: string): ShellDefinition {
  const hint = 'keys are image, name, packages, mounts, env, setup, host, home, network, shell';
  const found = parseYaml(text, from, definition, hint);
  for (const mount of found.mounts) mountOf(mount, '/');
  return { ...found, name: found.name ?? 'shell' };
}

export function readDefinition(path: string): ShellDefinition {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AtomicError('not-found', `the definition ${path} cannot be read`, { cause });
  }
  return parseDefinition(text, path);
}

function mountOf(text: string, home: string): string {
  const [source = '', target = source, mode, ...more] = text.split(':').map((part) => part.replace(/^~(?=\/|$)/, home));
  const good =
    source.startsWith('/') &&
    target.startsWith('/') &&
    more.length === 0 &&
    (mode === undefined || mode === 'ro' || mode === 'rw');
  if (!good) {
    throw new AtomicError('invalid', `'${text}' is no mount`, {
      hint: 'such as ~/work, /srv:/srv or /etc/hosts:/etc/hosts:ro',
    });
  }
  return `${source}:${target}${mode === undefined ? '' : `:${mode}`}`;
}

export interface ShellUser {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/** Labels by which shells are found again. */
export const SHELL_LABEL = 'org.projectatomic.shell';
export const SHELL_USER_LABEL = 'org.projectatomic.shell.user';
export const SHELL_DEFINITION_LABEL = 'org.projectatomic.shell.definition';

export const shellContainer = (user: ShellUser, name: string): string => `atomic-shell-${user.name}-${name}`;

/** The command line that makes the container; it does nothing until somebody enters it. */
export function createWords(engine: readonly string[], user: ShellUser, one: ShellDefinition): string[] {
  const option = (name: string, value: string): string => `--${name}=${value}`;
  return [
    ...engine,
    'create',
    option('name', shellContainer(user, one.name)),
    option('hostname', one.network === 'host' ? '' : one.name),
    option('label', `${SHELL_LABEL}=${one.name}`),
    option('label', `${SHELL_USER_LABEL}=${user.uid}`),
    option('label', `${SHELL_DEFINITION_LABEL}=${Buffer.from(JSON.stringify(one)).toString('base64')}`),
    option('network', one.network),
    '--ipc=host',
    '--pid=host',
    '--stop-timeout=1',
    ...['--security-opt', 'label=disable'],
    ...(one.host ? ['-v', `/:/host${slaveSuffix('/')}`, '-e', 'HOST=/host'] : []),
    ...(one.home ? ['-v', `${user.home}:${user.home}${slaveSuffix(user.home)}`] : []),
    ...one.mounts.flatMap((mount) => ['-v', mountOf(mount, user.home)]),
    ...['-e', `HOME=${user.home}`, '-e', `USER=${user.name}`, '-e', `ATOMIC_SHELL=${one.name}`],
    ...Object.entries(one.env).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
    '--user=0:0',
    '--entrypoint=/bin/sh',
    one.image,
    '-c',
    'while :; do sleep 3600; done',
  ].filter((word) => word !== '--hostname=');
}

/** What is done once in a new container: the user is there, then packages, then the definition's own commands. */
export function setupScript(user: ShellUser, one: ShellDefinition): string {
  const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
  const passwd = `${user.name}:x:${user.uid}:${user.gid}:${user.name}:${user.home}:${one.shell}`;
  const lines = [
    'set -e',
    `grep -q ${quote(`^${user.name}:`)} /etc/passwd || echo ${quote(passwd)} >> /etc/passwd`,
    `grep -q ${quote(`^[^:]*:[^:]*:${user.gid}:`)} /etc/group || echo ${quote(`${user.name}:x:${user.gid}:`)} >> /etc/group`,
  ];
  if (one.packages.length > 0) {
    const words = one.packages.map(quote).join(' ');
    lines.push(
      'if command -v apt-get > /dev/null; then',
      `  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends ${words}`,
      `elif command -v dnf > /dev/null; then dnf install -y ${words}`,
      `elif command -v microdnf > /dev/null; then microdnf install -y ${words}`,
      `elif command -v apk > /dev/null; then apk add ${words}`,
      `elif command -v zypper > /dev/null; then zypper -n install ${words}`,
      "else echo 'this image has no package manager that is known: apt-get, dnf, microdnf, apk, zypper' >&2; exit 1",
      'fi',
    );
  }
  return [...lines, ...one.setup].join('\n');
}
