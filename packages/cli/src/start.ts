type Main = (argv: readonly string[]) => Promise<number>;

/** Runs a command's main function and ends the process with its status. */
export async function start(load: () => Promise<Main>): Promise<void> {
  // The launcher's setting is for this process, not for the programs it runs.
  delete process.env['NODE_COMPILE_CACHE'];
  const { finish, reportError } = await import('./context.ts');
  try {
    const main = await load();
    finish(await main(process.argv.slice(2)));
  } catch (error) {
    reportError(error, process.argv.includes('--verbose'));
    finish(1);
  }
}
