/** Writes the manual pages of `atomic` and `ostree`, from the commands' definitions, to a folder. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { modelFor } from '../packages/cli/src/completion.ts';
import { manualPages } from '../packages/cli/src/man.ts';

const folder = process.argv[2] ?? 'build/man';
mkdirSync(folder, { recursive: true });
let count = 0;
for (const program of ['atomic', 'ostree']) {
  const model = await modelFor(program);
  const own =
    program === 'atomic' ? { ...model, commands: model.commands.filter(({ name }) => name !== 'ostree') } : model;
  for (const [file, text] of manualPages(own)) {
    writeFileSync(path.join(folder, file), text);
    count++;
  }
}
console.log(`${count} manual pages in ${folder}`);
