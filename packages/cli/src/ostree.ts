import { finish, reportError } from './context.ts';
import { ostreeMain } from './ostree/main.ts';

ostreeMain(process.argv.slice(2)).then(finish, (error: unknown) => {
  reportError(error, process.argv.includes('--verbose'));
  return finish(1);
});
