import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { splitUnitWords } from '@atomic/containers';

/**
 * What a generator wrote: file or link → content. Words of commands are sorted, for podman's generator takes keys of
 * one kind in an order that changes from run to run; comments that name the generator are left out.
 */
export function readOutput(folder: string, program: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name);
    const stat = lstatSync(path);
    if (stat.isSymbolicLink()) found.set(name, `-> ${readlinkSync(path)}`);
    else if (stat.isFile()) found.set(name, normalise(readFileSync(path, 'utf8'), program));
  }
  return found;
}

function normalise(text: string, program: string): string {
  const lines = text.split('\n').slice(2);
  return lines
    .map((line) => {
      const match = /^(Exec[A-Za-z]+=)(-?\/.*)$/.exec(line);
      const [, key, command = ''] = match ?? [];
      if (key === undefined || !command.replace(/^-/, '').startsWith(program)) return line;
      const [first = '', ...rest] = splitUnitWords(command, 'command');
      return `${key}${first} ${rest
        .sort()
        .map((word) => JSON.stringify(word))
        .join(' ')}`;
    })
    .join('\n');
}

/** Where two outputs differ, as lines for a person. */
export function differences(ours: ReadonlyMap<string, string>, theirs: ReadonlyMap<string, string>): string[] {
  const names = [...new Set([...ours.keys(), ...theirs.keys()])].sort();
  return names.flatMap((name) => {
    const [a, b] = [ours.get(name), theirs.get(name)];
    if (a === b) return [];
    if (a === undefined || b === undefined) return [`${name}: only ${a === undefined ? 'podman' : 'ours'}`];
    const [linesA, linesB] = [a.split('\n'), b.split('\n')];
    const at = linesA.findIndex((line, index) => line !== linesB[index]);
    return [`${name}:\n  ours   ${linesA[at] ?? '(end)'}\n  podman ${linesB[at] ?? '(end)'}`];
  });
}
