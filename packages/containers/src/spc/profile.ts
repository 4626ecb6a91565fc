import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { parseYaml } from '../parse-yaml.ts';
import { BUILT_IN } from './built-in.ts';

const profile = z.strictObject({
  description: z.string().default(''),
  /** What the container is called; the image's last part otherwise. */
  name: z.string().optional(),
  /** Command lines in the language of the labels. */
  run: z.string(),
  install: z.string().optional(),
  uninstall: z.string().optional(),
});

/** How a super-privileged container of one kind is run. */
export type Profile = z.output<typeof profile> & { kind: string; from: string };

function parseProfile(text: string, name: string, from: string): Profile {
  return { ...parseYaml(text, `the profile ${from}`, profile), kind: name, from };
}

/** All profiles: files `NAME.yaml` of the folders, the first folder first, then our own. */
export function listProfiles(folders: readonly string[]): Profile[] {
  const found = new Map<string, Profile>();
  for (const folder of folders) {
    let files: string[];
    try {
      files = readdirSync(folder).filter((file) => /^[a-z0-9][a-z0-9_.-]*\.yaml$/.test(file));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') continue;
      throw error;
    }
    for (const file of files.sort()) {
      const name = file.slice(0, -'.yaml'.length);
      const path = join(folder, file);
      if (!found.has(name)) found.set(name, parseProfile(readFileSync(path, 'utf8'), name, path));
    }
  }
  for (const [name, text] of Object.entries(BUILT_IN)) {
    if (!found.has(name)) found.set(name, parseProfile(text, name, 'built in'));
  }
  return [...found.values()].sort((a, b) => a.kind.localeCompare(b.kind));
}

/** The profile of that name. Throws `not-found` naming those there are. */
export function findProfile(name: string, folders: readonly string[]): Profile {
  const all = listProfiles(folders);
  const found = all.find((one) => one.kind === name);
  if (found !== undefined) return found;
  throw new AtomicError('not-found', `there is no profile '${name}'`, {
    hint: `there are ${all.map((one) => one.kind).join(', ')}; your own go to ${folders[0] ?? ''}/${name}.yaml`,
  });
}
