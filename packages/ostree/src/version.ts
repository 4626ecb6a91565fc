/** The libostree release whose behaviour this is; servers see it as `libostree/VERSION` in User-Agent. */
export const LIBOSTREE_VERSION = '2026.4';
