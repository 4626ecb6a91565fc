import { matchesGlob } from 'node:path';

/** Tells paths that `.s2iignore` leaves out: patterns of a shell, `!` takes one back, the last that fits counts. */
export function readIgnore(text: string): (path: string) => boolean {
  const rules = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const keep = line.startsWith('!');
      const pattern = (keep ? line.slice(1) : line).replace(/^\/+|\/+$/g, '');
      return { keep, pattern };
    });
  return (path) => {
    let ignored = false;
    for (const { keep, pattern } of rules) {
      // What is in a folder that is left out is left out with it.
      const parts = path.split('/');
      const fits = parts.some((_, index) => matchesGlob(parts.slice(0, index + 1).join('/'), pattern));
      if (fits) ignored = !keep;
    }
    return ignored;
  };
}
