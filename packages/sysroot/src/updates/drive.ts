import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { umount } from '@atomic/linux';
import { upgrade } from '../change/upgrade.ts';
import { runProgram } from '../run-program.ts';
import type { Sysroot } from '../sysroot.ts';
import { findBranch } from './local-source.ts';
import { nameOf, type Reason } from './plan.ts';
import { remember, survey, type UpdatesOptions } from './run.ts';

/** A drive: the folder it is mounted on, or its device. */
export type DriveSource = { path: string } | { device: string };

/** What came of a drive that was plugged in. */
export interface DriveUpdate {
  staged: boolean;
  /** Why, or why not. */
  because: Reason[];
}

/**
 * Takes an update from a drive that was plugged in, if settings want it: signed as the remote asks, newer than what runs
 * and boots next, and none that failed here. The roll-out does not count: somebody brought it. Throws what
 * {@link upgrade} does.
 */
export async function updateFromDrive(
  sysroot: Sysroot,
  source: DriveSource,
  options: UpdatesOptions = {},
): Promise<DriveUpdate> {
  using _lock = await sysroot.lock(options);
  const { os, config, facts, state, now, deployments } = await survey(sysroot, options);
  const not = (code: Reason['code'], text: string): DriveUpdate => ({
    staged: false,
    because: [{ code, text, until: null }],
  });
  if (!config.usb) return not('policy', 'drives are not looked through for updates (Usb=no)');
  if (config.policy === 'none' || config.policy === 'check')
    return not('policy', `nothing is staged by itself (policy ${config.policy})`);
  if (state.hold !== null && (state.hold.until === null || state.hold.until > now)) {
    return not('hold', `updates are held: ${state.hold.why}`);
  }
  if (facts.onTrial) return not('trial', 'this boot has not been found good yet');
  if (facts.follows === null) return not('no-branch', 'what runs follows no branch of a server');
  if (facts.pending?.kind === 'other')
    return not('pending', `${nameOf(facts.pending)} boots next, by somebody's choice`);
  using drive = await mounted(sysroot, source);
  const found = findBranch(sysroot, facts.follows, drive.path);
  if (found === null) return not('up-to-date', `the drive has no ${facts.follows}`);
  const { checksum, repo } = found;
  const bad = facts.bad.get(checksum);
  if (bad !== undefined) return not('bad', `${nameOf({ checksum })} failed here: ${bad}`);
  if (remember(state, deployments, os, facts).left.includes(checksum)) {
    return not('left', `somebody went back from ${nameOf({ checksum })}`);
  }
  const next = deployments.deployments.find((one) => one.os === os);
  if (next !== undefined && (next.base === checksum || next.timestamp > repo.loadCommit(checksum).timestamp)) {
    return not('up-to-date', `the drive has nothing newer than ${nameOf(next)}`);
  }
  const result = await upgrade(sysroot, { ...options, os, from: drive.path, commit: checksum, requireSigned: true });
  const text = `${nameOf(result.to)} came on a drive`;
  return { staged: result.changed, because: [{ code: 'available', text, until: null }] };
}

/** Mounts a device where it can do no harm, for as long as it is looked at; it stays unmounted where nothing is wanted. */
async function mounted(sysroot: Sysroot, source: DriveSource): Promise<Disposable & { path: string }> {
  if ('path' in source) return { path: source.path, [Symbol.dispose]: () => {} };
  const folder = `${sysroot.run}/atomic`;
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const path = mkdtempSync(`${folder}/drive-`);
  try {
    await runProgram('mount', ['-o', 'ro,nosuid,nodev,noexec', '--', source.device, path]);
  } catch (error) {
    rmdirSync(path);
    throw error;
  }
  return {
    path,
    [Symbol.dispose]: () => {
      umount(path);
      rmdirSync(path);
    },
  };
}
