import { hashTableOrder } from '../gvariant/dict-order.ts';
import { isRegular, isSymlink, S_IFMT } from '../objects/mode.ts';

/** What of a file or directory a commit may change. */
export interface Info {
  uid: number;
  gid: number;
  /** With the type bits. */
  mode: number;
}

/** How what is on disk (or in a committed tree) is changed on its way into the commit. */
export interface Modifier {
  uid?: number | undefined;
  gid?: number | undefined;
  /** Owner 0:0, permissions within 0755, no extended attributes. */
  canonicalPermissions?: boolean | undefined;
  /** Take the write bits off regular files that somebody may execute. */
  roExecutables?: boolean | undefined;
  noXattrs?: boolean | undefined;
  /** Permission bits to add, by absolute path in the tree. A path that is not met is an error. */
  modeAdds?: ReadonlyMap<string, number> | undefined;
  /** Permission bits to have instead, by absolute path in the tree. */
  modeOverrides?: ReadonlyMap<string, number> | undefined;
  /** Absolute paths in the tree to leave out. A path that is not met is an error. */
  skip?: ReadonlySet<string> | undefined;
  /** The SELinux label for an absolute path in the tree and a mode, or null for none. */
  label?: ((path: string, mode: number) => string | null) | undefined;
  /** Record the size of every object in the commit (archive repositories only, as stock). */
  generateSizes?: boolean | undefined;
  /** Called for every entry as well: false leaves it out. */
  filter?: ((path: string) => boolean) | undefined;
}

/** A {@link Modifier} at work on one commit, in stock's order; it knows which listed paths have been met. */
export class ModifierRun {
  readonly modifier: Modifier;
  /** False when nothing is changed: committed trees are then taken unread, as stock does. */
  readonly active: boolean;
  /** Whether {@link apply} looks at paths. */
  readonly wantsPaths: boolean;
  /** Whether attributes of files go into the commit. */
  readonly readXattrs: boolean;
  readonly #adds: Map<string, number>;
  readonly #skip: Set<string>;

  constructor(modifier: Modifier, options: { disableXattrs: boolean; bareUserOnly: boolean }) {
    const canonicalPermissions = modifier.canonicalPermissions === true || options.bareUserOnly;
    this.modifier = { ...modifier, canonicalPermissions };
    const { uid, gid, roExecutables, noXattrs, modeAdds, modeOverrides, skip, label, generateSizes, filter } = modifier;
    this.wantsPaths = [modeAdds, modeOverrides, skip, filter].some((one) => one !== undefined);
    const flags = [canonicalPermissions, roExecutables, noXattrs, generateSizes, label !== undefined];
    this.active = this.wantsPaths || uid !== undefined || gid !== undefined || flags.includes(true);
    this.readXattrs = !(canonicalPermissions || noXattrs === true || options.disableXattrs);
    this.#adds = new Map(modeAdds);
    this.#skip = new Set(skip);
  }

  /** What an entry becomes, or null when it is left out. Bits to add are used up by the first call for their path. */
  apply(path: string, { uid, gid, mode }: Info): Info | null {
    const { modifier } = this;
    const info = { uid: modifier.uid ?? uid, gid: modifier.gid ?? gid, mode };
    if (modifier.roExecutables && isRegular(mode) && (mode & 0o111) !== 0) info.mode &= ~0o222;
    if (this.wantsPaths) {
      const bits = this.#adds.get(path);
      const instead = modifier.modeOverrides?.get(path);
      if (bits !== undefined) {
        info.mode |= bits;
        this.#adds.delete(path);
      } else if (instead !== undefined) info.mode = (info.mode & S_IFMT) | instead;
      // Once only, as stock: a later tree may bring the path after all.
      if (this.#skip.delete(path) || modifier.filter?.(path) === false) return null;
    }
    if (modifier.canonicalPermissions) {
      if (!isSymlink(info.mode)) info.mode &= S_IFMT | 0o755;
      info.uid = 0;
      info.gid = 0;
    }
    return info;
  }

  /** The label of an entry, or null when labels are not set. */
  label(path: string, mode: number): string | null {
    return this.modifier.label?.(path, mode) ?? null;
  }

  /** Listed paths that were not met, by the list they stand in, in stock's order. */
  unmatched(): { statoverride: string[]; skipList: string[] } {
    const { modeAdds, skip } = this.modifier;
    return {
      statoverride: hashTableOrder(modeAdds?.keys() ?? []).filter((path) => this.#adds.has(path)),
      skipList: hashTableOrder(skip ?? []).filter((path) => this.#skip.has(path)),
    };
  }
}
