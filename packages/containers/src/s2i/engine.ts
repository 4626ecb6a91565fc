import { AtomicError, runProgram } from '@atomic/ostree';
import { runBounded } from '@atomic/sysroot';
import { inspectByCommand } from '../engines/inspect-image.ts';

/** What a build needs to know of an image. */
export interface BuilderImage {
  name: string;
  labels: Readonly<Record<string, string>>;
  env: readonly string[];
  user: string;
  onBuild: readonly string[];
}

/** An engine that builds images from Dockerfiles. */
export interface BuildEngine {
  readonly kind: 'docker' | 'podman';
  inspect(image: string): Promise<BuilderImage | undefined>;
  pull(image: string, signal?: AbortSignal): Promise<void>;
  /** Builds a folder's Dockerfile; the engine's own output goes through when `show`. */
  build(
    folder: string,
    tag: string,
    options: { args: readonly string[]; show: boolean; signal?: AbortSignal | undefined },
  ): Promise<void>;
  /** Runs a command of an image and returns what it wrote. Throws `failed` with its end. */
  run(image: string, command: readonly string[], signal?: AbortSignal): Promise<string>;
}

/** docker or podman by its own command; `options` go before each verb. */
export function buildEngine(kind: 'docker' | 'podman', program: string, options: readonly string[] = []): BuildEngine {
  return {
    kind,
    async inspect(image) {
      const found = await inspectByCommand(program, options, image);
      if (found === undefined) return undefined;
      const { Labels, Env, User, OnBuild } = found.Config ?? {};
      return { name: image, labels: Labels ?? {}, env: Env ?? [], user: User ?? '', onBuild: OnBuild ?? [] };
    },
    pull: (image, signal) => runProgram(program, [...options, 'pull', '-q', image], { signal }),
    build: (folder, tag, { args, show, signal }) =>
      runProgram(program, [...options, 'build', ...(show ? [] : ['-q']), ...args, '--tag', tag, folder], {
        signal,
        showOutput: show,
        // The classic builder is in every docker; BuildKit is not.
        env: { DOCKER_BUILDKIT: '0' },
      }),
    async run(image, [entrypoint = '', ...words]) {
      const line = [...options, 'run', '--rm', '--network=none', '--entrypoint', entrypoint, image, ...words];
      const ran = await runBounded(program, line, { seconds: 120, characters: 1 << 20 });
      if (ran.kind === 'exited' && ran.code === 0) return ran.output;
      throw new AtomicError('failed', `${entrypoint} of ${image} failed: ${'output' in ran ? ran.output : ran.why}`);
    },
  };
}
