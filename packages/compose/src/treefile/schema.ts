import { z } from 'zod';

// Key names are rpm-ostree's (docs/treefile.md of that project) where it has one for the thing.
// The custom messages say what is allowed; file, line and key are added by the caller.

const line = z.string().regex(/^[^\n\0]*$/, 'must be a single line');
// Names are checked by the package manager's own rules later: rpm's may be provides, files and comparisons in quotes.
const packageName = line
  .refine((text) => !/(^|\s)-/.test(text), 'must be a package name, and none begins with -')
  .refine(
    (text) => /^[\w\s'+.~:^=<>()@/*?-]+$/.test(text),
    'must be a package name: letters, digits and + - . : = ~ @ /',
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
        'must name a file of /etc/apt/sources.list.d (without its ending) or a section of a .repo file beside the treefile, or be a one-line "deb URL SUITE COMPONENT…"',
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

const refName = z
  .string()
  .regex(
    /^[A-Za-z0-9_$][A-Za-z0-9_.${}-]*(\/[A-Za-z0-9_$][A-Za-z0-9_.${}-]*)*$/,
    'must be a ref, such as os/amd64/stable',
  );
const fileNames = z.union([z.string(), z.array(z.string())], 'must be a file name or a list of file names');
const variable = z.union([z.string(), z.boolean(), z.number()], 'must be a text, a number, true or false');
const json = z.json();
const id = z.number().int().min(0).max(0xffff_fffe);

export const initramfsSchema = z.strictObject({
  packages: z.array(packageName).optional(),
  modules: z.array(line).optional(),
  'add-modules': z.array(line).optional(),
  drivers: z.array(line).optional(),
  args: z.array(line).optional(),
});

const plainChecks = [
  z.strictObject({ type: z.literal('none') }),
  z.strictObject({ type: z.literal('previous') }),
  z.strictObject({ type: z.literal('file'), filename: z.string().min(1) }),
] as const;
const checkPasswd = z.discriminatedUnion(
  'type',
  [
    ...plainChecks,
    z.strictObject({
      type: z.literal('data'),
      entries: z.record(
        line,
        z.union([id, z.tuple([id]), z.tuple([id, id])], 'must be a user number, or [user number, group number]'),
      ),
    }),
  ],
  'must be a map whose type is none, previous, file (with filename) or data (with entries)',
);
const checkGroups = z.discriminatedUnion(
  'type',
  [...plainChecks, z.strictObject({ type: z.literal('data'), entries: z.record(line, id) })],
  'must be a map whose type is none, previous, file (with filename) or data (with entries)',
);

const condition = line.regex(
  /^\s*\w+\s*(==|!=|<=|>=|<|>)\s*(true|false|\d+|".*")\s*$/,
  'must be VARIABLE OPERATOR VALUE, such as stream == "stable" (operators: == != < <= > >=)',
);

/** Keys whose only effect is elsewhere: how the treefile is put together. */
const assembly = {
  include: fileNames.optional(),
  'arch-include': z.record(z.string(), fileNames).optional(),
  'conditional-include': z
    .array(
      z.strictObject({
        if: z.union([condition, z.array(condition).min(1)], 'must be a condition or a list of conditions'),
        // An inlined treefile is checked as a treefile of its own.
        include: z.union(
          [z.string(), z.array(z.string()), z.record(z.string(), z.unknown())],
          'must be a file name, a list of file names or a treefile',
        ),
      }),
    )
    .optional(),
  variables: z.record(z.string().regex(/^\w+$/, 'must be a name of letters, digits and _'), variable).optional(),
};

const packages = {
  packages: z.array(packageName).optional(),
  'bootstrap-packages': z.array(packageName).optional(),
  'exclude-packages': z.array(packageName).optional(),
  'repo-packages': z.array(z.strictObject({ repo: line, packages: z.array(packageName).min(1) })).optional(),
  repos: z.array(repo).optional(),
  'lockfile-repos': z.array(repo).optional(),
  repovars: z
    .record(
      z
        .string()
        .regex(/^\w+$/)
        .refine(
          (name) => name !== 'releasever' && name !== 'basearch',
          'must not be releasever (a key of its own) or basearch (known)',
        ),
      line,
    )
    .optional(),
  // A number stays one: conditions compare it.
  releasever: z.union([line, z.number()], 'must be a release, such as 12 or "12"').optional(),
  'platform-module': line.optional(),
  recommends: z.boolean().optional(),
  documentation: z.boolean().optional(),
  'install-langs': z
    .array(line.regex(/^[A-Za-z]{2,3}(_[A-Z]{2})?([.@][\w.@-]+)?$/, 'must be a language, such as de or en_US'))
    .optional(),
  'ostree-layers': z.array(refName).optional(),
  'ostree-override-layers': z.array(refName).optional(),
  suite: line.optional(),
  mirror: url.optional(),
  components: z.array(line).min(1).optional(),
  'signed-by': absolutePath.optional(),
};

const content = {
  units: z.array(unitName).optional(),
  'mask-units': z.array(unitName).optional(),
  'default-target': unitName.optional(),
  hostname: hostname.optional(),
  'kernel-arguments': z.array(line.regex(/^\S(.*\S)?$/, 'must be one kernel argument')).optional(),
  'add-files': z
    .array(z.tuple([z.string().min(1), absolutePath], 'must be a pair: [source, absolute destination]'))
    .optional(),
  'remove-files': z.array(z.string().min(1)).optional(),
  'remove-from-packages': z
    .array(z.array(z.string().min(1)).min(2, 'must be a list: a package, then regular expressions'))
    .optional(),
  postprocess: z.array(z.string()).optional(),
  'postprocess-script': z.string().optional(),
  initramfs: initramfsSchema.optional(),
  'initramfs-args': z.array(line).optional(),
  'no-initramfs': z.boolean().optional(),
  'readonly-executables': z.boolean().optional(),
  'compress-runtime': z.boolean().optional(),
  'machineid-compat': z.boolean().optional(),
  'tmp-is-dir': z.boolean().optional(),
  'opt-usrlocal': z.enum(['var', 'root'], 'must be var or root').optional(),
  container: z.boolean().optional(),
  selinux: z.boolean().optional(),
  'selinux-label-version': z.literal([0, 1], 'must be 0 or 1').optional(),
  'preserve-passwd': z.boolean().optional(),
  'check-passwd': checkPasswd.optional(),
  'check-groups': checkGroups.optional(),
  'ignore-removed-users': z.array(line).optional(),
  'ignore-removed-groups': z.array(line).optional(),
};

/** Keys of rpm-ostree with one right value here; others are refused with the reason. */
const settled = {
  edition: z
    .union([z.literal('2014'), z.literal('2024'), z.literal(2014), z.literal(2024)], 'must be "2014" or "2024"')
    .optional(),
  'boot-location': z.literal('modules', 'must be modules: the kernel lies in /usr/lib/modules alone').optional(),
  'etc-group-members': z.array(line).optional(),
  sysusers: z.enum(['compose-auto', 'compose-forced'], 'must be compose-auto or compose-forced').optional(),
  'ignore-devices': z.literal(true, 'must be true: a tree cannot hold devices').optional(),
  ima: z.literal(false, 'must be false: IMA signatures are not carried over').optional(),
  rpmdb: z
    .enum(['target', 'sqlite', 'bdb', 'b-d-b', 'ndb'], 'must be target: the database is written by the tree itself')
    .optional(),
  'rpmdb-normalize': z.boolean().optional(),
  cliwrap: z.literal(false, 'must be false: programs of the tree are left as they are').optional(),
};

const commit = {
  ref: refName.optional(),
  'bind-refs': z.array(refName).optional(),
  version: version.optional(),
  'automatic-version-prefix': line.regex(/^[\w.+~<>:%${} -]+$/, 'must be the beginning of a version').optional(),
  'automatic-version-suffix': line.regex(/^[!-~]$/, 'must be one ASCII character').optional(),
  'mutate-os-release': line.optional(),
  timestamp: timestamp.optional(),
  'add-commit-metadata': z.record(z.string(), json).optional(),
  'advisories-metadata': z.enum(['inline', 'detached', 'disabled'], 'must be inline, detached or disabled').optional(),
  'repo-metadata': z.enum(['inline', 'detached', 'disabled'], 'must be inline, detached or disabled').optional(),
  'container-cmd': z.array(z.string()).optional(),
  'gpg-key': line.optional(),
  metadata: z.record(z.string(), json).optional(),
  // What it was for is gone from rpm-ostree; manifests of Fedora have it still, for coreos-assembler to read.
  rojig: z.record(z.string(), json).optional(),
  basearch: line.optional(),
};

/** One treefile, as written. Every key is optional: what a compose needs is checked after includes are merged. */
export const treefileSchema = z.strictObject({ ...assembly, ...packages, ...content, ...settled, ...commit });

/** `packages-ARCH`, whatever the architecture. */
export const archPackagesSchema = z.array(packageName);

/** A treefile as written in one file, after validation. */
export type RawTreefile = z.output<typeof treefileSchema>;
