/** What `docker run` and `podman run` take a value for. */
const WITH_VALUE = new Set(
  `a attach add-host annotation arch authfile blkio-weight blkio-weight-device c cap-add cap-drop cert-dir cgroup-conf
  cgroup-parent cgroupns cgroups chrootdirs cidfile conmon-pidfile cpu-count cpu-percent cpu-period cpu-quota
  cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems creds decryption-key detach-keys device
  device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops dns dns-opt dns-option
  dns-search domainname e entrypoint env env-file env-merge expose gidmap gpus group-add group-entry h health-cmd
  health-interval health-log-destination health-max-log-count health-max-log-size health-on-failure health-retries
  health-start-interval health-start-period health-startup-cmd health-startup-interval health-startup-retries
  health-startup-success health-startup-timeout health-timeout hostname hosts-file hostuser image-volume init-ctr
  init-path io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory l label label-file link link-local-ip
  log-driver log-level log-opt m mac-address memory memory-reservation memory-swap memory-swappiness mount name net
  net-alias network network-alias oom-score-adj os p passwd-entry personality pid pidfile pids-limit platform pod
  pod-id-file preserve-fd preserve-fds publish pull rdt-class requires restart retry retry-delay runtime sdnotify
  seccomp-policy secret security-opt shm-size shm-size-systemd stop-signal stop-timeout storage-opt subgidname
  subuidname sysctl systemd timeout tmpfs tz u uidmap ulimit umask unsetenv user userns uts v variant volume
  volume-driver volumes-from w workdir`.split(/\s+/),
);

/** What they take none for. */
const SWITCHES = new Set(
  `P d detach disable-content-trust env-host help http-proxy i init interactive no-healthcheck no-hostname no-hosts
  oom-kill-disable passwd privileged publish-all q quiet read-only read-only-tmpfs replace rm rmi rootfs sig-proxy t
  tls-verify tty unsetenv-all use-api-socket`.split(/\s+/),
);

/** Names of one option, short and long. */
const LONG = new Map(
  Object.entries({
    a: 'attach',
    c: 'cpu-shares',
    e: 'env',
    h: 'hostname',
    l: 'label',
    m: 'memory',
    p: 'publish',
    P: 'publish-all',
    u: 'user',
    v: 'volume',
    w: 'workdir',
    i: 'interactive',
    t: 'tty',
    d: 'detach',
    q: 'quiet',
    net: 'network',
    'net-alias': 'network-alias',
  }),
);

/** What stands before the sub-command. */
const GLOBAL_WITH_VALUE = new Set(
  `H host c context config l log-level tlscacert tlscert tlskey root runroot runtime runtime-flag storage-driver
  storage-opt cgroup-manager conmon connection identity url tmpdir events-backend hooks-dir network-cmd-path
  network-config-dir module namespace ssh volumepath`.split(/\s+/),
);
const GLOBAL_SWITCHES = new Set('D debug help noout r remote syslog tls tlsverify v version'.split(' '));

/** A long name; the value of a switch is `true`. */
type Option = { name: string; value: string };

export interface EngineLine {
  /** Before the sub-command, named as they are written. */
  globals: Option[];
  /** `run`, `rm`, `exec`, …; undefined when there is none. */
  verb: string | undefined;
  /** All that follows it. */
  words: string[];
  options: Option[];
  /** What follows the options: for `run` the image and its command. */
  rest: string[];
  /** Index in the words given of the first of `rest`. */
  restAt: number;
  /** The first option that `run` has not, as far as we know, and all words after it: they may mean anything. */
  unknown: string[];
}

/** Whether a program is a container engine's own command. */
export function engineOf(program: string): 'docker' | 'podman' | undefined {
  const name = program.slice(program.lastIndexOf('/') + 1);
  return name === 'docker' || name === 'podman' ? name : undefined;
}

export const optionName = (name: string): string => LONG.get(name) ?? name;

/** Whether the word is an option whose value is the next word. */
export function wantsNext(word: string, known: ReadonlySet<string> = WITH_VALUE): boolean {
  if (!word.startsWith('-') || word === '-' || word === '--' || word.includes('=')) return false;
  if (word.startsWith('--')) return known.has(word.slice(2));
  // -it: switches; -itv: the last one takes the value; -vX: has it already.
  const at = [...word.slice(1)].findIndex((letter) => known.has(letter));
  return at >= 0 && at === word.length - 2;
}

function readOptions(
  words: readonly string[],
  from: number,
  known: ReadonlySet<string>,
  switches: ReadonlySet<string>,
): { options: Option[]; at: number; unknownAt: number } {
  const options: Option[] = [];
  let unknownAt = words.length;
  let at = from;
  const add = (name: string, value: string): void => {
    if (!known.has(name) && !switches.has(name)) unknownAt = Math.min(unknownAt, at);
    options.push({ name, value });
  };
  for (; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--') return { options, at: at + 1, unknownAt };
    if (!word.startsWith('-') || word === '-') break;
    const next = wantsNext(word, known) ? words[at + 1] : undefined;
    // To another version it may be a switch, and this the next option.
    if (next !== undefined && /^-[^0-9]/.test(next)) unknownAt = Math.min(unknownAt, at);
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      if (equals < 0) add(word.slice(2), next ?? 'true');
      else add(word.slice(2, equals), word.slice(equals + 1));
    } else {
      const letters = [...word.slice(1)];
      for (const [index, letter] of letters.entries()) {
        const tail = letters.slice(index + 1).join('');
        if (known.has(letter)) {
          add(letter, tail === '' ? (next ?? '') : tail.replace(/^=/, ''));
          break;
        }
        if (tail.startsWith('=')) {
          add(letter, tail.slice(1));
          break;
        }
        add(letter, 'true');
      }
    }
    if (next !== undefined) at++;
  }
  return { options, at, unknownAt };
}

/** The verbs whose options are those of `run`, or some of them. */
const LIKE_RUN = new Set(['run', 'create', 'exec']);

/** Reads the command line of an engine, its program's name first. */
export function readEngineLine(words: readonly string[]): EngineLine {
  const before = readOptions(words, 1, GLOBAL_WITH_VALUE, GLOBAL_SWITCHES);
  const verbAt = words[before.at] === 'container' ? before.at + 1 : before.at;
  const verb = words[verbAt];
  const after = readOptions(words, verbAt + 1, WITH_VALUE, SWITCHES);
  const unknownAt = Math.min(before.unknownAt, verb !== undefined && LIKE_RUN.has(verb) ? after.unknownAt : Infinity);
  return {
    globals: before.options,
    verb,
    words: words.slice(verbAt + 1),
    options: after.options.map(({ name, value }) => ({ name: optionName(name), value })),
    rest: words.slice(after.at),
    restAt: after.at,
    unknown: words.slice(unknownAt),
  };
}
