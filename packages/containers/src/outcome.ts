import { AtomicError, type ErrorCode } from '@atomic/ostree';

/**
 * How an operation ended that did not fail by mistake or mishap: `refused` by the person asked, or nobody was there to
 * ask; `policy`; `unhealthy`: the new version was bad, the old one runs again; `stuck`: going back failed as well.
 */
export type Outcome = 'refused' | 'policy' | 'unhealthy' | 'stuck';

const CODES: Record<Outcome, ErrorCode> = {
  refused: 'aborted',
  policy: 'permission',
  unhealthy: 'failed',
  stuck: 'failed',
};

/** An error that scripts tell from all others by the exit status. */
export class OutcomeError extends AtomicError {
  readonly outcome: Outcome;

  constructor(outcome: Outcome, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(CODES[outcome], message, options);
    this.name = 'OutcomeError';
    this.outcome = outcome;
  }
}
