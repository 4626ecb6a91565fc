/** The guard of changes on trial; loaded by those who need it, for few commands do. */
export const loadGuard = async () => ({ ...(await import('./try.ts')), ...(await import('./timer.ts')) });
