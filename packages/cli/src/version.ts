/** The version `--version` prints. A constant, because a bundle has no package.json beside it; a test holds them equal. */
export const VERSION = '0.1.0';
