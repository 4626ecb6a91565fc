import { AtomicError } from '@atomic/ostree';
import type { Verb } from '../verb.ts';
import { ADMIN, ADMIN_COMMON } from './sysroot.ts';

/** See prepare-soft-reboot.ts. */
export const verb: Verb = {
  args: '',
  summary: 'Internal command to prepare soft reboot',
  options: [...ADMIN, ...ADMIN_COMMON],
  async run() {
    throw new AtomicError('unsupported', 'soft reboot not supported');
  },
};
