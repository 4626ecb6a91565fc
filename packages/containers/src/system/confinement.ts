import type { Confinement } from '../backends/backend.ts';
import { isPrivileged } from './harden.ts';
import type { RuntimeSpec } from './runtime-spec.ts';

/** Capabilities that engines leave to root by default; more than these is more than usual. */
const USUAL = new Set(
  (
    'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL ' +
    'AUDIT_WRITE'
  )
    .split(' ')
    .map((name) => `CAP_${name}`),
);

/** Folders of the host that are as good as the host itself when a container may write there. */
const SENSITIVE =
  /^\/(?:|etc|usr|boot|root|var|var\/lib|run|var\/run|dev|sys|proc|home)$|docker\.sock|containerd\.sock/;

/** What confines a system container, by the config.json it runs with. */
export function confinementOf(spec: RuntimeSpec): Confinement[] {
  const { process: run, linux = {}, root, mounts = [] } = spec;
  const spaces = new Set((linux.namespaces ?? []).map(({ type }) => type));
  const bounding = run.capabilities?.['bounding'] ?? [];
  const more = bounding.filter((name) => !USUAL.has(name));
  const shown = mounts.filter(
    ({ type, source = '', options = [] }) => type === 'bind' && !options.includes('ro') && SENSITIVE.test(source),
  );
  const user = run.user ?? { uid: 0, gid: 0 };
  const name = (type: string): string => (spaces.has(type as never) ? 'own' : "the host's");
  return [
    {
      aspect: 'privileged',
      value: isPrivileged(spec) ? 'yes: it may administer the system (CAP_SYS_ADMIN)' : 'no',
      confined: !isPrivileged(spec),
    },
    {
      aspect: 'user',
      value: `${user.uid}:${user.gid}${spaces.has('user') ? ', in a user namespace' : ''}`,
      confined: user.uid !== 0 || spaces.has('user'),
    },
    { aspect: 'capabilities', value: bounding.length === 0 ? 'none' : bounding.join(' '), confined: more.length === 0 },
    { aspect: 'no-new-privileges', value: run.noNewPrivileges ? 'yes' : 'no', confined: run.noNewPrivileges === true },
    { aspect: 'seccomp', value: seccompOf(spec), confined: linux.seccomp !== undefined },
    { aspect: 'selinux', value: run.selinuxLabel ?? 'none', confined: /container_t/.test(run.selinuxLabel ?? '') },
    {
      aspect: 'apparmor',
      value: run.apparmorProfile ?? 'none',
      confined: run.apparmorProfile !== undefined && run.apparmorProfile !== 'unconfined',
    },
    { aspect: 'rootfs', value: root.readonly ? 'read-only' : 'writable', confined: root.readonly === true },
    { aspect: 'network', value: name('network'), confined: spaces.has('network') },
    { aspect: 'processes', value: name('pid'), confined: spaces.has('pid') },
    {
      aspect: 'host-files',
      value: shown.length === 0 ? 'none that matter' : `may write to ${shown.map(({ source }) => source).join(' ')}`,
      confined: shown.length === 0,
    },
  ];
}

function seccompOf({ linux }: RuntimeSpec): string {
  const filter = linux?.seccomp;
  if (filter === undefined) return 'none';
  const calls = (filter.syscalls ?? []).reduce((sum, { names }) => sum + names.length, 0);
  return filter.defaultAction === 'SCMP_ACT_ALLOW' ? `${calls} system calls refused` : `${calls} system calls allowed`;
}
