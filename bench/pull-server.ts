/** Serves the folder given as argument, in a process of its own; prints its port. Ends with its standard input. */
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';

const root = process.argv[2] ?? '.';
const server = createServer((request, response) => {
  const path = join(root, normalize(decodeURIComponent((request.url ?? '/').split('?')[0] ?? '/')));
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile()) {
    response.writeHead(404, { 'content-length': 0 }).end();
    return;
  }
  response.writeHead(200, { 'content-length': stat.size });
  createReadStream(path).pipe(response);
});
process.stdin.on('end', () => process.exit(0)).resume();
server.listen(0, '0.0.0.0', () => {
  const address = server.address();
  console.log(typeof address === 'object' ? address?.port : '');
});
