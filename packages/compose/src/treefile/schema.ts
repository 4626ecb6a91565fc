import { z } from 'zod';

// Key names are rpm-ostree's (docs/treefile.md of that project) where it has one for the thing.
// The custom messages say what is allowed; file, line and key are added by the caller.

const line = z.string().regex(/^[^\n\0]*$/, 'must be a single line');
const packageName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?(=[A-Za-z0-9.+~:-]+)?( +[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?(=[A-Za-z0-9.+~:-]+)?)*$/,
    'must be a package name: lower-case letters, digits and + - . (optionally name=version)',
  );
const unitName = z
  .string()
  .regex(
    /^[A-Za-z0-9:_.@\\-]+\.(service|socket|timer|path|mount|automount|target|slice|swap)$/,
    'must be a unit name with its suffix, such as sshd.service',
  );
const absolutePath = z
  .string()
  .regex(/^\/(?!\/)[^\0]*$/, 'must be an absolute path')
  .refine((p) => !p.split('/').includes('..'), 'must not contain ..');
const hostname = z
  .string()
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*$/,
    'must be a host name: letters, digits, - and .',
  );
const version = z
  .union([line, z.number()], 'must be a version, such as "1" or "12.4"')
  .transform(String)
  .refine((v) => /^[A-Za-z0-9][A-Za-z0-9.+~_-]*$/.test(v), 'must be a version: letters, digits and . + ~ _ -');
const timestamp = z
  .union(
    [z.number().int().nonnegative(), z.string()],
    'must be seconds since 1970 or a date such as 2026-01-31T00:00:00Z',
  )
  .transform((value, ctx) => {
    const seconds = typeof value === 'number' ? value : Math.floor(Date.parse(value) / 1000);
    if (!Number.isFinite(seconds) || seconds < 0) {
      ctx.addIssue({ code: 'custom', message: 'must be seconds since 1970 or a date such as 2026-01-31T00:00:00Z' });
      return z.NEVER;
    }
    return seconds;
  });

const url = z.string().regex(/^(https?|file|copy|ftp):\S+$/, 'must be a URL (http:, https: or file:)');

const repo = z.union(
  [
    z.string().regex(/^(deb (\[[^\]]*\] )?\S+ \S+.*|[A-Za-z0-9_.-]+)$/, {
      message:
        'must name a file of /etc/apt/sources.list.d (without its ending), or be a one-line "deb URL SUITE COMPONENT…"',
    }),
    z.strictObject({
      url,
      suite: line,
      components: z.array(line).min(1).default(['main']),
      'signed-by': absolutePath.optional(),
    }),
  ],
  'must name a file of /etc/apt/sources.list.d, be a "deb …" line, or a map with url, suite, components, signed-by',
);

const initramfs = z.strictObject({
  packages: z.array(packageName).optional(),
  modules: z.array(line).optional(),
  'add-modules': z.array(line).optional(),
  drivers: z.array(line).optional(),
  args: z.array(line).optional(),
});

/** One treefile, as written. Every key is optional: what a compose needs is checked after includes are merged. */
export const treefileSchema = z.strictObject({
  include: z.union([z.string(), z.array(z.string())], 'must be a file name or a list of file names').optional(),
  ref: z
    .string()
    .regex(
      /^[A-Za-z0-9_$][A-Za-z0-9_.${}-]*(\/[A-Za-z0-9_$][A-Za-z0-9_.${}-]*)*$/,
      'must be a ref, such as os/amd64/stable',
    )
    .optional(),
  releasever: version.optional(),
  packages: z.array(packageName).optional(),
  'exclude-packages': z.array(packageName).optional(),
  repos: z.array(repo).optional(),
  suite: line.optional(),
  mirror: url.optional(),
  components: z.array(line).min(1).optional(),
  'signed-by': absolutePath.optional(),
  recommends: z.boolean().optional(),
  documentation: z.boolean().optional(),
  units: z.array(unitName).optional(),
  'mask-units': z.array(unitName).optional(),
  'default-target': unitName.optional(),
  hostname: hostname.optional(),
  'kernel-arguments': z.array(line.regex(/^\S(.*\S)?$/, 'must be one kernel argument')).optional(),
  'add-files': z
    .array(z.tuple([z.string().min(1), absolutePath], 'must be a pair: [source, absolute destination]'))
    .optional(),
  'remove-files': z.array(z.string().min(1)).optional(),
  postprocess: z.array(z.string()).optional(),
  'postprocess-script': z.string().optional(),
  version: version.optional(),
  'automatic-version-prefix': version.optional(),
  'mutate-os-release': version.optional(),
  timestamp: timestamp.optional(),
  initramfs: initramfs.optional(),
  'initramfs-args': z.array(line).optional(),
  'add-commit-metadata': z.record(z.string(), z.union([z.string(), z.boolean(), z.number()])).optional(),
});

/** A treefile as written in one file, after validation. */
export type RawTreefile = z.output<typeof treefileSchema>;

/** Keys rpm-ostree knows and we do not (yet): naming them is kinder than "unknown key". */
export const unsupportedKeys: ReadonlyMap<string, string> = new Map([
  ['selinux', 'Debian trees carry no SELinux policy'],
  ['boot-location', 'the kernel always goes to /usr/lib/modules'],
  ['arch-include', 'write one treefile for each architecture'],
  ['install-langs', 'use documentation: false, or remove-files'],
  ['lockfile-repos', 'lock files are not there yet'],
  ['repo-packages', 'name the package with =version, or limit repos'],
  ['modules', 'Debian has no package modules'],
  ['container', 'container images have their own command'],
  ['rojig', 'it is gone from rpm-ostree too'],
  ['etc-group-members', 'the whole group file is kept in /usr/etc'],
  ['preserve-passwd', 'fix user numbers with a sysusers.d file in add-files'],
  ['check-passwd', 'fix user numbers with a sysusers.d file in add-files'],
  ['check-groups', 'fix group numbers with a sysusers.d file in add-files'],
  ['ignore-removed-users', 'removed users are not checked'],
  ['ignore-removed-groups', 'removed groups are not checked'],
  ['tmp-is-dir', '/tmp is always a directory'],
  ['machineid-compat', '/etc/machine-id is always empty in the tree'],
  ['remove-from-packages', 'use remove-files'],
]);
