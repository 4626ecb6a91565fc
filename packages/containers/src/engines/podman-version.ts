import { runBounded } from '@atomic/sysroot';

/** Whether podman's `volume create` and `network create` take --ignore, as those since 4.4 do; true where it does not say. */
export async function createIgnores(program: string): Promise<boolean> {
  const said = await runBounded(program, ['--version'], { seconds: 20, characters: 1000 });
  const [, major, minor] = (said.kind === 'exited' && /(\d+)\.(\d+)/.exec(said.output)) || [];
  return major === undefined || Number(major) > 4 || (Number(major) === 4 && Number(minor) >= 4);
}
