/** What is run where an image has no label that says it, in the label's own language. */
export interface DefaultContext {
  tty: boolean;
  detach: boolean;
}

const SPC = [
  ...['-i', '--privileged', '-v', '/:/host', '-v', '/run:/run', '-v', '/etc/localtime:/etc/localtime'],
  ...['--net=host', '--ipc=host', '--pid=host', '-e', 'HOST=/host', '-e', 'NAME=${NAME}', '-e', 'IMAGE=${IMAGE}'],
  ...['-e', 'SYSTEMD_IGNORE_CHROOT=1'],
];

const terminal = ({ tty, detach }: DefaultContext): string[] => [...(tty ? ['-t'] : []), ...(detach ? ['-d'] : [])];

/** An ordinary container. */
export const defaultRun = (context: DefaultContext): string =>
  ['docker', 'run', ...terminal(context), '-i', '--name', '${NAME}', '${IMAGE}'].join(' ');

/** A super-privileged container; `selinux`: the machine has the file system of SELinux. */
export const spcRun = (context: DefaultContext & { selinux: boolean }): string =>
  [
    'docker',
    'run',
    ...terminal(context),
    ...SPC,
    ...(context.selinux ? ['-v', '/sys/fs/selinux:/sys/fs/selinux:ro'] : []),
    ...['--name', '${NAME}', '${IMAGE}'],
  ].join(' ');

/** The default name of a super-privileged container of an image. */
export const spcName = (name: string): string => `${name}-spc`;
