/** What a unit says of the container it runs: the options of `atomic quadlet prepare`. */
export interface BundleRequest {
  name: string;
  image: string;
  /** The image's own command where none is given. */
  command: readonly string[];
  /** Path of runc or crun. */
  runtime: string;
  /** The unit that runs it, where there is one. */
  unit?: string | undefined;
  network: 'host' | 'none';
  pull: 'missing' | 'always' | 'never';
  /** `NAME=VALUE`; a name alone takes the service's own value. */
  env: readonly string[];
  envFile: readonly string[];
  /** `[SOURCE:]TARGET[:OPTIONS]`: a path of the host, or the name of a volume. */
  volume: readonly string[];
  /** `PATH[:OPTIONS]` */
  tmpfs: readonly string[];
  capAdd: readonly string[];
  capDrop: readonly string[];
  /** `NAME=VALUE` */
  annotation: readonly string[];
  sysctl: readonly string[];
  /** `NAME=SOFT[:HARD]` */
  ulimit: readonly string[];
  groupAdd: readonly string[];
  user?: string | undefined;
  workdir?: string | undefined;
  /** A program, or a JSON list of words; empty: the image's is not used. */
  entrypoint?: string | undefined;
  hostname?: string | undefined;
  readOnly?: boolean | undefined;
  noNewPrivileges?: boolean | undefined;
  /** With units: 512m. */
  memory?: string | undefined;
  pidsLimit?: string | undefined;
  shmSize?: string | undefined;
}

/** Where the runtime keeps what it knows of running containers: apart from system containers and from engines. */
export const RUNTIME_STATE = '/run/atomic/quadlets';
