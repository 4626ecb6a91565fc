import { finish, reportError } from './context.ts';
import { main } from './main.ts';

main(process.argv.slice(2)).then(finish, (error: unknown) => {
  reportError(error, process.argv.includes('--verbose'));
  return finish(1);
});
