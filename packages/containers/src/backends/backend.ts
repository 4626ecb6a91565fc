import type { Progress } from '@atomic/ostree';

/** What runs, or ran: one row of `atomic containers list`. */
export interface ContainerSummary {
  /** The backend's own identifier; for system containers their name. */
  id: string;
  name: string;
  /** As it was named when the container was made. */
  image: string;
  /** `sha256:…` of the image's configuration (or manifest, where the backend knows no other); '' when unknown. */
  imageId: string;
  /** One line, shell-quoted. */
  command: string;
  /** ISO 8601. */
  created: string;
  state: ContainerState;
  /** `docker`, `podman`, `system`, `user`, `quadlet`. */
  backend: string;
  /** `runc`, `crun`, … */
  runtime: string;
}

export type ContainerState =
  | 'created'
  | 'running'
  | 'paused'
  | 'restarting'
  | 'exited'
  | 'failed'
  | 'unhealthy'
  | 'unknown';

/** One process of a container, as `ps` sees it from outside. */
export interface ContainerProcess {
  /** Column of `ps -o` → its value. */
  [column: string]: string;
}

export interface Confinement {
  /** What it is about: `privileged`, `capabilities`, `seccomp`, `apparmor`, `selinux`, `user`, `rootfs`, `network`, … */
  aspect: string;
  value: string;
  /** Whether it confines the container at least as much as an engine's defaults do. */
  confined: boolean;
}

export interface UpdateOptions extends OperationOptions {
  /** Another image from now on. */
  rebase?: string | undefined;
  /** Values to change, name → value. */
  set?: Readonly<Record<string, string>> | undefined;
  /** Leave it as it is where the new version was tried before and was not well. */
  onlyUntried?: boolean | undefined;
}

export interface OperationOptions {
  signal?: AbortSignal | undefined;
  progress?: Progress | undefined;
}

export interface UpdateReport {
  name: string;
  changed: boolean;
  /** Digests or deployment ids. */
  before: string | undefined;
  after: string | undefined;
  /** One line for people. */
  message: string;
}

/**
 * Something that has containers. Names given to methods are ids or names out of `list`; what is not there is
 * `not-found`. A method that is absent is one the backend has no notion of.
 */
export interface ContainerBackend {
  readonly name: string;
  list(options?: OperationOptions): Promise<ContainerSummary[]>;
  start(container: string, options?: OperationOptions): Promise<void>;
  stop(container: string, options?: OperationOptions & { timeoutSeconds?: number }): Promise<void>;
  /** Refuses a running one unless forced. */
  delete(container: string, options?: OperationOptions & { force?: boolean }): Promise<void>;
  /** The command line of a program that shows the log; the terminal is its own. */
  logsCommand(container: string, options: { follow?: boolean; tail?: number; since?: string }): Promise<string[]>;
  /** The command line that runs another command inside. */
  execCommand(
    container: string,
    argv: readonly string[],
    options: {
      tty?: boolean;
      interactive?: boolean;
      user?: string | undefined;
      env?: readonly string[];
      workdir?: string;
    },
  ): Promise<string[]>;
  processes(container: string, columns: readonly string[]): Promise<ContainerProcess[]>;
  /** Everything the backend knows, for `info` and `--json`. */
  inspect(container: string): Promise<Record<string, unknown>>;
  confinement(container: string): Promise<Confinement[]>;
  /** Its root as a folder of this machine, while it runs or is mounted; undefined when there is none. */
  rootFolder?(container: string): Promise<string | undefined>;
  update?(container: string, options: UpdateOptions): Promise<UpdateReport>;
  rollback?(container: string, options?: OperationOptions): Promise<UpdateReport>;
}

/** One row of `atomic images list`. */
export interface ImageSummary {
  /** `sha256:…` of the configuration. */
  id: string;
  /** Names with tags; none: dangling. */
  names: string[];
  /** `name@sha256:…` of the manifest, where known. */
  digests: string[];
  created: string;
  /** Bytes on disk, as the backend counts them. */
  size: number;
  backend: string;
  labels: Readonly<Record<string, string>>;
}

export interface ImageDetails extends ImageSummary {
  architecture: string;
  os: string;
  command: readonly string[];
  entrypoint: readonly string[];
  env: readonly string[];
  user: string;
  /** Uncompressed layers, lowest first: `sha256:…`. */
  diffIds: readonly string[];
  /** System images: what `--set` may, and what it must give. */
  parameters?: { name: string; default: string | undefined }[];
}

export interface VerifyReport {
  image: string;
  backend: string;
  /** Whether everything that could be checked is right. */
  good: boolean;
  /** Whether the registry has a newer one; undefined when it was not asked. */
  outdated: boolean | undefined;
  problems: string[];
  checked: string[];
}

/** Something that has images: an engine, or our store. */
export interface ImageBackend {
  readonly name: string;
  list(options?: OperationOptions): Promise<ImageSummary[]>;
  /** By name or by the beginning of an id; undefined when it is not here. */
  find(image: string): Promise<ImageDetails | undefined>;
  /** Removes a name; the image with its last one. */
  delete(image: string, options?: OperationOptions & { force?: boolean }): Promise<string[]>;
  tag(image: string, target: string): Promise<void>;
  /** Removes what nothing names; how many bytes are free again. */
  prune(options?: OperationOptions): Promise<{ removed: string[]; freed: number }>;
  /** Fetches it anew by its name. */
  pull(image: string, options?: OperationOptions & { credentials?: string }): Promise<void>;
  verify(image: string, options?: OperationOptions & { remote?: boolean }): Promise<VerifyReport>;
  /** A file out of the image, links within it followed; undefined when there is none. */
  readFile(image: string, path: string): Promise<Buffer | undefined>;
}
