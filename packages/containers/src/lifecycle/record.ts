import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';

// What is kept on disk: of each deployment in its file `info`, of each change under way in `.journal/NAME.json`, of
// those past in `.history/NAME.json`. A version is written with each, so that a later program knows what it reads.

const path = z.string().regex(/^(?!.*\/\.{1,2}(?:\/|$))\/[^\0]+$/, 'must be an absolute path without . and ..');
const unit = z.string().regex(/^(?!-)[A-Za-z0-9:_.\\@-]{1,250}$/, 'must be the name of a unit');
/** A deployment's number: the N of NAME.N. */
const id = z.number().int().nonnegative();

const hostFile = z.object({
  /** Where it is on the host. */
  path,
  /** Kind, owner, mode and content in one line; see host-file.ts. */
  state: z.string(),
  /** Its copy, relative to the deployment's folder; a symlink's is a symlink. */
  source: z.string(),
  /** Ours alone, as a unit is: local changes to it are put aside, not kept. */
  managed: z.boolean(),
  /** Something of that name was there before us and stays as it is. */
  foreign: z.boolean(),
});
export type HostFile = z.output<typeof hostFile>;

const probe = z.discriminatedUnion('type', [
  z.object({ type: z.literal('exec'), command: z.array(z.string()).min(1) }),
  z.object({ type: z.literal('http'), url: z.string() }),
  z.object({ type: z.literal('tcp'), host: z.string(), port: z.number().int().min(1).max(65_535) }),
]);
/** A question to what was started: a command that must exit with 0, a URL that must answer below 400, a port. */
export type Probe = z.output<typeof probe>;

const health = z.object({
  /** All have to be answered. */
  probes: z.array(probe),
  /** How long it may take from the start until all is well. */
  seconds: z.number().positive().max(86_400),
  /** Between two attempts, in seconds. */
  interval: z.number().positive(),
  /** How long the units must have stayed up without being restarted, in seconds. */
  settle: z.number().nonnegative(),
});
export type HealthCheck = z.output<typeof health>;

const deployedUnit = z.object({ name: unit, enable: z.boolean(), start: z.boolean() });
export type DeployedUnit = z.output<typeof deployedUnit>;

const deploymentRecord = z.object({
  version: z.literal(1),
  /** Which room made it: `system`, `app`. */
  kind: z.string(),
  name: z.string(),
  id,
  created: z.iso.datetime(),
  /** Two deployments with the same are the same: an image's digest and its values. */
  identity: z.string(),
  /** What people know it by: the image's name. */
  title: z.string(),
  files: z.array(hostFile),
  /** Folders on the host that were made for it, or for those before it. */
  folders: z.array(path),
  /** In the order in which they start. */
  units: z.array(deployedUnit),
  /** Relative to the folder: files for systemd-tmpfiles. */
  tmpfiles: z.array(z.string()),
  /** What these made on the host, and those before them: its data, which stays when it goes. */
  data: z.array(path).default([]),
  health,
  /** What the room keeps for itself; it knows its form. */
  details: z.unknown(),
});
export type DeploymentRecord = z.output<typeof deploymentRecord>;

const fileChange = z.object({
  path,
  /** States as in {@link HostFile}; null: nothing there. */
  before: z.string().nullable(),
  after: z.string().nullable(),
  /** Where either is kept, relative to the folder of all; null as above. */
  beforeSource: z.string().nullable(),
  afterSource: z.string().nullable(),
});
export type FileChange = z.output<typeof fileChange>;

const change = z.object({
  from: id.nullable(),
  to: id.nullable(),
  files: z.array(fileChange),
  /** Folders to make before, parents first, and to remove after where they are empty. */
  makeFolders: z.array(path),
  dropFolders: z.array(path),
  /** Stopped before anything else, in this order. */
  stop: z.array(unit),
  /** No longer started at boot, and started from now on. */
  disable: z.array(unit),
  enable: z.array(unit),
  /** Relative to the folder of all. */
  clearTmpfiles: z.array(z.string()),
  createTmpfiles: z.array(z.string()),
  start: z.array(unit),
  /** They ran, and systemd stops them with what they need: started once that is back. */
  dependants: z.array(unit),
});
/** All that has to be done to go from one deployment to another; see steps.ts. */
export type Change = z.output<typeof change>;

const verb = z.enum(['install', 'update', 'rollback', 'uninstall']);
export type Verb = z.output<typeof verb>;

const journal = z.object({
  version: z.literal(1),
  name: z.string(),
  verb,
  started: z.iso.datetime(),
  identity: z.string(),
  /** `going` there; `returning`, for `reason`; `finishing`: it is decided, and what is not needed goes. */
  phase: z.enum(['going', 'returning', 'finishing']),
  outcome: z.enum(['done', 'unhealthy', 'failed', 'interrupted']),
  reason: z.string().nullable(),
  change,
  /** Deployments removed at the end. */
  discard: z.array(id),
  /** Data removed at the end: all of it, or (`purge` false) what is empty. */
  data: z.array(path).default([]),
  purge: z.boolean().default(false),
});
/** A change under way. Until `finishing` with the outcome `done`, whoever finds it goes back to `from`. */
export type Journal = z.output<typeof journal>;

const event = z.object({
  at: z.iso.datetime(),
  verb,
  from: id.nullable(),
  to: id.nullable(),
  identity: z.string(),
  title: z.string(),
  outcome: z.enum(['done', 'unhealthy', 'failed', 'interrupted']),
  /** Why it went back. */
  reason: z.string().nullable(),
  /** Its data that an uninstallation left, and the folders made for it: who installs it again has them again. */
  data: z.array(path).default([]),
  folders: z.array(path).default([]),
});
/** A change that is over. */
export type HistoryEvent = z.output<typeof event>;

const history = z.object({ version: z.literal(1), events: z.array(event) });

/** A parser for `readJson`: null for what it does not understand. */
const understood =
  <T>(schema: z.ZodType<T>) =>
  (value: unknown): T | null =>
    schema.safeParse(value).data ?? null;

export const parseRecord = understood(deploymentRecord);
export const parseJournal = understood(journal);
export const parseHistory = understood(history);

/** Checks what a room says of its deployment before it is written. Throws `invalid`. */
export function checkRecord(record: DeploymentRecord): DeploymentRecord {
  const result = deploymentRecord.safeParse(record);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AtomicError('invalid', `${record.name}: ${issue?.path.join('.')}: ${issue?.message}`);
}
