/** What `docker run` and `podman run` take a value for; everything else they know is a switch. */
const WITH_VALUE = new Set(
  `a attach add-host annotation authfile blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns
  cgroup-conf cidfile conmon-pidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime c
  cpu-shares cpus cpuset-cpus cpuset-mems chrootdirs creds cert-dir detach-keys device device-cgroup-rule
  device-read-bps device-read-iops device-write-bps device-write-iops dns dns-opt dns-option dns-search domainname
  entrypoint e env env-file env-merge expose gidmap gpus group-add group-entry health-cmd health-interval
  health-on-failure health-retries health-start-interval health-start-period health-startup-cmd health-timeout
  h hostname hostuser image-volume init-ctr init-path io-maxbandwidth io-maxiops ip ip6 ipc isolation
  kernel-memory l label label-file link link-local-ip log-driver log-opt mac-address m memory memory-reservation
  memory-swap memory-swappiness mount name net net-alias network network-alias oom-score-adj os arch variant
  passwd-entry personality pid pidfile pids-limit platform pod pod-id-file preserve-fd preserve-fds p publish pull
  requires rdt-class restart retry retry-delay runtime sdnotify seccomp-policy secret security-opt shm-size
  shm-size-systemd stop-signal stop-timeout storage-opt subgidname subuidname sysctl systemd timeout tmpfs tz
  uidmap ulimit umask unsetenv u user userns uts v volume volume-driver volumes-from w workdir
  decryption-key`.split(/\s+/),
);

/** Names of one option, short and long. */
const LONG: Record<string, string> = {
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
};

/** What stands before the sub-command. */
const GLOBAL_WITH_VALUE = new Set(
  `H host c context config l log-level tlscacert tlscert tlskey root runroot runtime storage-driver storage-opt
  cgroup-manager conmon connection identity url tmpdir events-backend hooks-dir network-config-dir module`.split(/\s+/),
);

export interface EngineLine {
  /** `run`, `rm`, `exec`, …; undefined when there is none. */
  verb: string | undefined;
  /** Long names; the value of a switch is `true`. */
  options: { name: string; value: string }[];
  /** What follows the options: for `run` the image and its command. */
  rest: string[];
  /** Index in the words given of the first of `rest`. */
  restAt: number;
}

/** Whether a program is a container engine's own command. */
export function engineOf(program: string): 'docker' | 'podman' | undefined {
  const name = program.slice(program.lastIndexOf('/') + 1);
  return name === 'docker' || name === 'podman' ? name : undefined;
}

export const optionName = (name: string): string => LONG[name] ?? name;

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
): { options: EngineLine['options']; at: number } {
  const options: EngineLine['options'] = [];
  let at = from;
  for (; at < words.length; at++) {
    const word = words[at] ?? '';
    if (word === '--') return { options, at: at + 1 };
    if (!word.startsWith('-') || word === '-') break;
    const next = wantsNext(word, known) ? words[at + 1] : undefined;
    if (word.startsWith('--')) {
      const equals = word.indexOf('=');
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
      options.push({ name: optionName(name), value: equals < 0 ? (next ?? 'true') : word.slice(equals + 1) });
    } else {
      const letters = [...word.slice(1)];
      for (const [index, letter] of letters.entries()) {
        const tail = letters.slice(index + 1).join('');
        if (known.has(letter)) {
          options.push({ name: optionName(letter), value: tail === '' ? (next ?? '') : tail.replace(/^=/, '') });
          break;
        }
        if (tail.startsWith('=')) {
          options.push({ name: optionName(letter), value: tail.slice(1) });
          break;
        }
        options.push({ name: optionName(letter), value: 'true' });
      }
    }
    if (next !== undefined) at++;
  }
  return { options, at };
}

/** Reads the command line of an engine, its program's name first. */
export function readEngineLine(words: readonly string[]): EngineLine {
  let { at } = readOptions(words, 1, GLOBAL_WITH_VALUE);
  if (words[at] === 'container') at++;
  const verb = words[at];
  const { options, at: restAt } = readOptions(words, at + 1, WITH_VALUE);
  return { verb, options, rest: words.slice(restAt), restAt };
}
