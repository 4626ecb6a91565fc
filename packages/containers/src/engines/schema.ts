import { z } from 'zod';

// What is read of the answers; everything else in them is kept only where it is handed on whole.

const strings = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);
const record = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});

export const containerRow = z.object({ Id: z.string() });

const mount = z.object({
  Type: z.string(),
  Name: z.string().default(''),
  Source: z.string().default(''),
  Destination: z.string(),
  RW: z.boolean().default(true),
});

export const containerDetails = z.looseObject({
  Id: z.string(),
  Name: z.string(),
  Created: z.string(),
  Path: z.string().default(''),
  Args: strings,
  Image: z.string(),
  RestartCount: z.number().default(0),
  AppArmorProfile: z.string().default(''),
  ProcessLabel: z.string().default(''),
  Mounts: z
    .array(mount)
    .nullish()
    .transform((list) => list ?? []),
  State: z.looseObject({
    Status: z.string(),
    Running: z.boolean(),
    Pid: z.number().default(0),
    ExitCode: z.number().default(0),
    Error: z.string().default(''),
    Health: z.looseObject({ Status: z.string() }).nullish(),
  }),
  Config: z.looseObject({
    Image: z.string(),
    User: z.string().default(''),
    Tty: z.boolean().default(false),
    OpenStdin: z.boolean().default(false),
    Hostname: z.string().default(''),
    Env: strings,
    Cmd: z.array(z.string()).nullish(),
    Entrypoint: z.array(z.string()).or(z.string()).nullish(),
    Labels: record,
    Healthcheck: z
      .looseObject({
        StartPeriod: z.number().optional(),
        Interval: z.number().optional(),
        Timeout: z.number().optional(),
        Retries: z.number().optional(),
      })
      .nullish(),
  }),
  HostConfig: z.looseObject({
    Runtime: z.string().default(''),
    Privileged: z.boolean().default(false),
    AutoRemove: z.boolean().default(false),
    ReadonlyRootfs: z.boolean().default(false),
    NetworkMode: z.string().default(''),
    PidMode: z.string().default(''),
    IpcMode: z.string().default(''),
    UTSMode: z.string().default(''),
    UsernsMode: z.string().default(''),
    CapAdd: strings,
    CapDrop: strings,
    SecurityOpt: strings,
    Binds: strings,
    Mounts: z
      .array(z.looseObject({ Type: z.string(), Target: z.string().default(''), Source: z.string().optional() }))
      .nullish()
      .transform((list) => list ?? undefined),
  }),
  NetworkSettings: z.looseObject({ Networks: z.record(z.string(), z.looseObject({})).nullish() }).nullish(),
});
export type EngineContainer = z.output<typeof containerDetails>;

export const imageRow = z.object({
  Id: z.string(),
  RepoTags: strings,
  RepoDigests: strings,
  Created: z.number().or(z.string()),
  Size: z.number(),
  Labels: record,
});

export const imageDetails = z.looseObject({
  Id: z.string(),
  RepoTags: strings,
  RepoDigests: strings,
  Created: z.string().default(''),
  Size: z.number(),
  Architecture: z.string().default(''),
  Os: z.string().default(''),
  Config: z
    .looseObject({
      Labels: record,
      Cmd: z.array(z.string()).nullish(),
      Entrypoint: z.array(z.string()).or(z.string()).nullish(),
      Env: strings,
      User: z.string().default(''),
    })
    .nullish(),
  RootFS: z.object({ Layers: strings }).nullish(),
});
export type EngineImage = z.output<typeof imageDetails>;

export const topAnswer = z.object({ Titles: z.array(z.string()), Processes: z.array(z.array(z.string())).nullish() });

export const deletedAnswer = z
  .array(z.object({ Untagged: z.string().optional(), Deleted: z.string().optional() }))
  .nullish();

export const prunedAnswer = z.object({
  ImagesDeleted: deletedAnswer,
  SpaceReclaimed: z.number().nullish(),
});

export const createdAnswer = z.object({ Id: z.string() });

export const infoAnswer = z.object({
  DefaultRuntime: z.string().default(''),
  SecurityOptions: strings,
  ServerVersion: z.string().default(''),
});

/** A list of words that may be given as one. */
export const asWords = (value: string[] | string | null | undefined): string[] =>
  value === null || value === undefined ? [] : typeof value === 'string' ? [value] : value;
