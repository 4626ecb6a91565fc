import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

// What we hand to runc and crun: config.json of the OCI runtime specification 1.0.2 (config.md, config-linux.md), as far
// as something here reads or writes it. What newer versions add is let through as it is.

const text = z.string();
const texts = z.array(text);
const uint32 = z.number().int().nonnegative().max(0xffff_ffff);
const int64 = z.number().int();

export const CAPABILITY_SETS = ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'] as const;

const processSpec = z.looseObject({
  terminal: z.boolean().optional(),
  user: z.looseObject({ uid: uint32, gid: uint32, additionalGids: z.array(uint32).optional() }).optional(),
  args: texts.min(1),
  env: texts.optional(),
  cwd: z.string().startsWith('/', 'must be an absolute path'),
  capabilities: z.looseObject(Object.fromEntries(CAPABILITY_SETS.map((set) => [set, texts.optional()]))).optional(),
  rlimits: z.array(z.looseObject({ type: text, hard: z.number(), soft: z.number() })).optional(),
  noNewPrivileges: z.boolean().optional(),
  apparmorProfile: text.optional(),
  selinuxLabel: text.optional(),
  oomScoreAdj: z.number().int().min(-1000).max(1000).optional(),
});

const mount = z.looseObject({
  destination: z.string().min(1),
  type: text.optional(),
  source: text.optional(),
  options: texts.optional(),
});
export type Mount = z.output<typeof mount>;

const hook = z.looseObject({
  path: text,
  args: texts.optional(),
  env: texts.optional(),
  timeout: int64.min(1).optional(),
});
const mapping = z.looseObject({ containerID: uint32, hostID: uint32, size: uint32 });

const device = z.looseObject({
  type: z.enum(['c', 'b', 'u', 'p']),
  path: text,
  major: int64.optional(),
  minor: int64.optional(),
  fileMode: z.number().int().min(0).max(0o777).optional(),
  uid: uint32.optional(),
  gid: uint32.optional(),
});

const action = z.enum([
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_TRAP',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_TRACE',
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_LOG',
  'SCMP_ACT_NOTIFY',
]);
const seccomp = z.looseObject({
  defaultAction: action,
  defaultErrnoRet: uint32.optional(),
  architectures: texts.optional(),
  syscalls: z.array(z.looseObject({ names: texts.min(1), action, errnoRet: uint32.optional() })).optional(),
});
export type Seccomp = z.output<typeof seccomp>;

const linux = z.looseObject({
  devices: z.array(device).optional(),
  uidMappings: z.array(mapping).optional(),
  gidMappings: z.array(mapping).optional(),
  namespaces: z
    .array(
      z.looseObject({
        type: z.enum(['mount', 'pid', 'network', 'uts', 'ipc', 'user', 'cgroup', 'time']),
        path: text.optional(),
      }),
    )
    .optional(),
  resources: z
    .looseObject({
      devices: z
        .array(
          z.looseObject({
            allow: z.boolean(),
            type: text.optional(),
            major: int64.optional(),
            minor: int64.optional(),
            access: text.optional(),
          }),
        )
        .optional(),
    })
    .optional(),
  cgroupsPath: text.optional(),
  rootfsPropagation: z.enum(['private', 'shared', 'slave', 'unbindable']).optional(),
  seccomp: seccomp.optional(),
  maskedPaths: texts.optional(),
  readonlyPaths: texts.optional(),
  mountLabel: text.optional(),
});

const spec = z.looseObject({
  ociVersion: z.string().regex(/^\d+\.\d+\.\d+/, 'must be a version'),
  hostname: text.optional(),
  process: processSpec,
  root: z.looseObject({ path: z.literal('rootfs', 'must be "rootfs"'), readonly: z.boolean().optional() }),
  mounts: z.array(mount).optional(),
  hooks: z.record(text, z.array(hook)).optional(),
  annotations: z.record(text, text).optional(),
  linux: linux.optional(),
});
export type RuntimeSpec = z.output<typeof spec>;

/** Checks a config.json. Throws `invalid` naming `file` and the first thing that is wrong. */
export function parseRuntimeSpec(value: unknown, file: string): RuntimeSpec {
  const result = spec.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AtomicError('invalid', `${file}: ${issue?.path.join('.')}: ${issue?.message}`);
}
