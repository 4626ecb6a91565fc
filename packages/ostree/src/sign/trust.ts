/** What decides about trust besides a repository and its remotes. The command line fills it from the environment. */
export interface TrustOptions {
  /** Folder of the keyrings that remotes without their own trust (default /usr/share/ostree/trusted.gpg.d). */
  gpgHome?: string | undefined;
  /** Make and accept signatures of type `dummy`. They prove nothing: for tests only. */
  dummy?: boolean | undefined;
}
