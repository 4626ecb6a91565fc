/**
 * Kernel arguments for a Linux guest in an emulated processor on a busy machine: its test of the timer's interrupt counts
 * on ticks that may come late ("IO-APIC + timer doesn't work!"), and its tests of ciphers have locked up.
 */
export const EMULATED_KARGS: readonly string[] = ['no_timer_check', 'cryptomgr.notests'];
