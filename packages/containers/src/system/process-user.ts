import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoCode } from '@atomic/linux';
import { AtomicError } from '@atomic/ostree';

/** Who a container's first process is, in numbers. */
export interface ProcessUser {
  uid: number;
  gid: number;
  additionalGids: number[];
}

const isNumber = (text: string): boolean => /^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff;
const rows = (text: string): string[][] => text.split('\n').map((line) => line.split(':'));

/**
 * `USER[:GROUP]` by the image's own passwd and group (passwd(5), group(5)); numbers need not be in them. Throws `invalid`
 * for a name that is in neither.
 */
export function resolveUser(wanted: string, files: { passwd: string; group: string }): ProcessUser {
  const [user = '', group] = wanted.split(':');
  const users = rows(files.passwd);
  const groups = rows(files.group);
  const found = users.find(([name, , uid]) => name === user || (isNumber(user) && uid === String(Number(user))));
  if (found === undefined && user !== '' && !isNumber(user)) {
    throw new AtomicError('invalid', `the image has no user ${user}`, { hint: 'say the number: User=1000' });
  }
  const uid = Number(found?.[2] ?? user);
  if (group !== undefined && group !== '') return { uid, gid: groupNumber(group, groups), additionalGids: [] };
  const name = found?.[0];
  const additional = groups.flatMap(([, , gid = '', members = '']) =>
    name !== undefined && isNumber(gid) && members.split(',').includes(name) ? [Number(gid)] : [],
  );
  return { uid, gid: Number(found?.[3] ?? 0), additionalGids: additional };
}

/** The number of a group by name or number. Throws `invalid`. */
export function resolveGroup(wanted: string, group: string): number {
  return groupNumber(wanted, rows(group));
}

function groupNumber(wanted: string, groups: readonly string[][]): number {
  if (isNumber(wanted)) return Number(wanted);
  const gid = groups.find(([name]) => name === wanted)?.[2] ?? '';
  if (isNumber(gid)) return Number(gid);
  throw new AtomicError('invalid', `the image has no group ${wanted}`, { hint: 'say the number: Group=1000' });
}

/** `USER[:GROUP]` in numbers, which is all a runtime takes, by the files in a root. Throws `invalid` as {@link resolveUser}. */
export function userInRoot(wanted: string, rootfs: string): string {
  if (/^\d+(:\d+)?$/.test(wanted)) return wanted;
  const { uid, gid } = resolveUser(wanted, { passwd: textOf(rootfs, 'passwd'), group: textOf(rootfs, 'group') });
  return `${uid}:${gid}`;
}

function textOf(rootfs: string, name: string): string {
  try {
    return readFileSync(join(rootfs, 'etc', name), 'utf8');
  } catch (error) {
    if (errnoCode(error) === undefined) throw error;
    return '';
  }
}
