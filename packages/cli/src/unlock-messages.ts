/** What `ostree admin unlock` and `atomic host usroverlay` say when it is done. */
export const UNLOCKED = {
  hotfix: `Hotfix mode enabled.  A writable overlayfs is now mounted on /usr
for this booted deployment.  A non-hotfixed clone has been created
as the non-default rollback target.`,
  development: `Development mode enabled.  A writable overlayfs is now mounted on /usr.
All changes there will be discarded on reboot.`,
  transient: `A writable overlayfs is prepared for /usr, but is mounted read-only by default.
All changes there will be discarded on reboot.`,
} as const;
