import type { Command } from 'commander';
import { add, collect, containerAction } from './common.ts';
import { places } from './places.ts';

// What units for runc and crun run before, beside and after the runtime itself (docs/quadlet.md).

interface RuntimeFlags {
  runtime: string;
}

interface PrepareFlags extends RuntimeFlags {
  network: string;
  pull: string;
  env: string[];
  variables: string[];
  volume: string[];
  tmpfs: string[];
  capAdd: string[];
  capDrop: string[];
  annotation: string[];
  sysctl: string[];
  ulimit: string[];
  groupAdd: string[];
  user?: string;
  workdir?: string;
  entrypoint?: string;
  hostname?: string;
  readOnly?: boolean;
  newPrivileges: boolean;
  memory?: string;
  pidsLimit?: string;
  shmSize?: string;
  unit?: string;
}

interface HealthFlags extends RuntimeFlags {
  interval?: string;
  timeout?: string;
  startPeriod?: string;
  retries: string;
}

const RUNTIME = ['--runtime <path>', 'runc or crun', '/usr/bin/runc'] as const;

async function oneOf<T extends string>(option: string, value: string, known: readonly T[]): Promise<T> {
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `${option}=${value}: must be one of ${known.join(', ')}`);
}

async function numberOf(option: string, value: string): Promise<number> {
  if (/^\d+$/.test(value)) return Number(value);
  const { AtomicError } = await import('@atomic/ostree');
  throw new AtomicError('usage', `${option}=${value}: must be a number`);
}

/** Adds the verbs that units of `atomic quadlet` without an engine call. */
export function register(quadlet: Command): void {
  const prepare = add(quadlet, 'prepare', 'for units without an engine: make what the runtime shall run', [
    'atomic quadlet prepare --network=host --env=MODE=fast --volume=data:/data -- web registry.example/web:1',
  ])
    .argument('<name>', 'the container')
    .argument('<image>', 'its image')
    .argument('[command...]', 'what it runs instead of what its image says')
    .option(...RUNTIME)
    .option('--network <network>', 'host or none', 'host')
    .option('--pull <policy>', 'fetch the image: missing, always or never', 'missing')
    .option('--user <user>', 'USER[:GROUP]')
    .option('--workdir <path>', 'where it runs')
    .option('--entrypoint <program>', "instead of the image's own")
    .option('--hostname <name>', 'a name of its own')
    .option('--read-only', 'it may not write to its root')
    .option('--no-new-privileges', 'programs give it no rights that it has not')
    .option('--memory <size>', 'how much it may take: 512m')
    .option('--pids-limit <number>', 'how many processes it may have')
    .option('--shm-size <size>', 'of /dev/shm')
    .option('--unit <unit>', 'the unit that runs it');
  for (const [flags, text] of [
    ['--env <name=value>', 'a variable'],
    ['--variables <path>', 'a file of variables'],
    ['--volume <volume>', '[SOURCE:]TARGET[:OPTIONS], a path or the name of a volume'],
    ['--tmpfs <path>', 'PATH[:OPTIONS]'],
    ['--cap-add <capability>', 'one more'],
    ['--cap-drop <capability>', 'one less, or all'],
    ['--annotation <name=value>', 'for the runtime to keep'],
    ['--sysctl <name=value>', 'a setting of the kernel'],
    ['--ulimit <name=limit>', 'NAME=SOFT[:HARD]'],
    ['--group-add <group>', 'one more'],
  ] as const) {
    prepare.option(flags, `${text}; may be repeated`, collect, []);
  }
  prepare.action(
    containerAction(async (ctx, name: string, image: string, command: string[], flags: PrepareFlags) => {
      const { hostSecurity, prepareBundle } = await import('@atomic/containers');
      const { openStore } = await import('./store.ts');
      const { obtainer } = await import('./obtain.ts');
      const { AtomicError } = await import('@atomic/ostree');
      const at = places();
      const store = await openStore(at);
      const obtain = obtainer(async () => store, {});
      const { signal, progress } = ctx;
      const network = await oneOf('--network', flags.network, ['host', 'none']);
      const pull = await oneOf('--pull', flags.pull, ['missing', 'always', 'never']);
      const folder = await prepareBundle(
        {
          ...flags,
          envFile: flags.variables,
          network,
          pull,
          noNewPrivileges: !flags.newPrivileges,
          name,
          image,
          command,
        },
        {
          state: at.state,
          store,
          obtain: async (wanted, policy) => {
            if (policy !== 'never') return await obtain(wanted, { newest: policy === 'always', signal, progress });
            const there = store.find(wanted);
            if (there !== undefined) return there;
            throw new AtomicError('not-found', `there is no image ${wanted} here, and Pull=never`);
          },
          security: hostSecurity(),
          environment: process.env,
          signal,
        },
      );
      if (ctx.json) ctx.printJson({ folder });
    }),
  );

  add(quadlet, 'clean', 'for units without an engine: end a container, and remove what was made to run it', [
    'atomic quadlet clean -- web',
  ])
    .argument('<name>', 'the container')
    .option(...RUNTIME)
    .action(
      containerAction(async (_ctx, name: string, { runtime }: RuntimeFlags) => {
        const { removeBundle } = await import('@atomic/containers');
        await removeBundle({ name, runtime }, places().state);
      }),
    );

  add(quadlet, 'healthy', 'for units without an engine: wait until a container is well', [
    'atomic quadlet healthy --interval=5s --retries=12 -- web "wget -q -O /dev/null http://localhost/"',
  ])
    .argument('<name>', 'the container')
    .argument('<command>', 'a line for its shell, or a JSON list of words; it is well when that ends with 0')
    .option(...RUNTIME)
    .option('--interval <time>', 'between two attempts (30s)')
    .option('--timeout <time>', 'what one may take (30s)')
    .option('--start-period <time>', 'in which failures do not count (0s)')
    .option('--retries <number>', 'failures in a row that end it', '3')
    .action(
      containerAction(async (ctx, name: string, command: string, flags: HealthFlags) => {
        const { waitHealthy } = await import('@atomic/containers');
        const retries = await numberOf('--retries', flags.retries);
        await waitHealthy({ ...flags, retries, name, command, signal: ctx.signal }, places().state);
      }),
    );

  add(quadlet, 'volume', 'for units without an engine: make a volume where there is none', [
    'atomic quadlet volume --uid=1000 --gid=1000 -- data',
  ])
    .argument('<name>', 'the volume')
    .option('--uid <number>', 'whose it is', '0')
    .option('--gid <number>', 'of which group', '0')
    .action(
      containerAction(async (ctx, name: string, flags: { uid: string; gid: string }) => {
        const { makeVolume } = await import('@atomic/containers');
        const owner = { uid: await numberOf('--uid', flags.uid), gid: await numberOf('--gid', flags.gid) };
        ctx.print(makeVolume(places().state, name, owner));
      }),
    );
}
