import { AtomicError } from '@atomic/ostree';

/** The labels that hold a command line, or say where one gets its options. */
export type CommandLabel = 'RUN' | 'INSTALL' | 'UNINSTALL' | 'STOP' | 'HELP' | 'DEBUG' | 'RUN_OPTS_FILE';

type Labels = Readonly<Record<string, string>>;

/**
 * A label's value, whatever the case of its name; the exact name first, then lower, Capitalised and UPPER case, then any.
 * An empty one counts as none.
 */
export function findLabel(labels: Labels, name: string): string | undefined {
  const lower = name.toLowerCase();
  const forms = [name, lower, lower.charAt(0).toUpperCase() + lower.slice(1), name.toUpperCase()];
  for (const form of forms) {
    if (Object.hasOwn(labels, form) && labels[form] !== '') return labels[form];
  }
  const key = Object.keys(labels).find((one) => one.toLowerCase() === lower && labels[one] !== '');
  return key === undefined ? undefined : labels[key];
}

/** `Name-Version-Release` as the descriptive labels say; undefined when the image has not even a name. */
export function versionOf(labels: Labels): string | undefined {
  const name = findLabel(labels, 'Name') ?? labels['org.opencontainers.image.title'];
  if (name === undefined) return undefined;
  const version = findLabel(labels, 'Version') ?? labels['org.opencontainers.image.version'];
  return [name, version, findLabel(labels, 'Release')].filter((part) => part !== undefined).join('-');
}

export interface LabelContext {
  /** The container's. */
  name: string;
  /** As the engine finds it. */
  image: string;
  /** Of the caller. */
  environment: Readonly<Record<string, string | undefined>>;
  folder: string;
  uid: number;
  gid: number;
  opts?: readonly (string | undefined)[];
}

/** The variables a label may use: the caller's environment, and ours over it. */
export function labelVariables(context: LabelContext): Record<string, string | undefined> {
  const { name, image, environment, folder, opts = [] } = context;
  return {
    ...environment,
    NAME: name,
    IMAGE: image,
    PWD: folder,
    SUDO_UID: String(context.uid),
    SUDO_GID: String(context.gid),
    CONFDIR: `/etc/${name}`,
    LOGDIR: `/var/log/${name}`,
    DATADIR: `/var/lib/${name}`,
    OPT1: opts[0],
    OPT2: opts[1],
    OPT3: opts[2],
    RUN_OPTS: undefined,
  };
}

/** Ours of the variables, for the environment of the command; those of the caller it has anyway. */
export const OWN_VARIABLES = ['NAME', 'IMAGE', 'CONFDIR', 'LOGDIR', 'DATADIR', 'SUDO_UID', 'SUDO_GID'] as const;

/** Where RUN_OPTS_FILE's file is. Throws `invalid` unless it is an absolute path without `..`. */
export function optionsFilePath(words: readonly string[]): string {
  const [path = ''] = words;
  if (words.length === 1 && path.startsWith('/') && !path.split('/').includes('..')) return path;
  throw new AtomicError('invalid', `the label RUN_OPTS_FILE must be one absolute path, but is '${words.join(' ')}'`);
}
