import { each, type Row, value } from './rows.ts';

/** Words of one `--security-opt`. */
export const security =
  (name: string) =>
  (content: string): string[] => ['--security-opt', `${name}${content}`];

/** A flag that is worth a word only when it is on. */
export const whenOn =
  (...made: string[]) =>
  (content: string): string[] =>
    content === 'true' ? made : [];

/** Keys with one value whose option podman and docker have alike. */
export const SINGLE: readonly Row[] = [
  value('PidsLimit', '--pids-limit'),
  value('ShmSize', '--shm-size'),
  value('WorkingDir', '--workdir'),
  value('IP', '--ip'),
  value('IP6', '--ip6'),
  value('HostName', '--hostname'),
  value('StopSignal', '--stop-signal'),
  value('StopTimeout', '--stop-timeout'),
  value('Pull', '--pull'),
  value('Memory', '--memory'),
];

/** The same of keys that may be given again. */
export const REPEATED: readonly Row[] = [
  each('NetworkAlias', '--network-alias'),
  each('Ulimit', '--ulimit'),
  each('DNS', '--dns'),
  each('DNSOption', '--dns-option'),
  each('DNSSearch', '--dns-search'),
  each('GroupAdd', '--group-add'),
  each('AddHost', '--add-host'),
  each('Tmpfs', '--tmpfs'),
];
