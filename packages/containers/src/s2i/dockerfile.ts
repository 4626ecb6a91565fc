import type { BuilderImage } from './engine.ts';

/** Where a builder's script is: in the image, or among the files that are uploaded. */
export interface Script {
  path: string;
  uploaded: boolean;
}

export interface DockerfileRecipe {
  builder: BuilderImage;
  /** Folder of the image that sources, scripts and artifacts are unpacked below (/tmp). */
  destination: string;
  assemble: Script;
  run: Script;
  /** Of the image built before, whose artifacts are kept. */
  previous?: { image: string; saveArtifacts: Script } | undefined;
  uploadsScripts: boolean;
  env: readonly (readonly [string, string])[];
  labels: readonly (readonly [string, string])[];
  /** The user that assembles; the image keeps its own. */
  assembleUser: string;
  user: string;
}

/** A value within double quotes: nothing in it is a variable, and nothing ends it. */
const quote = (text: string): string => `"${text.replaceAll(/["\\$]/g, '\\$&').replaceAll(/[\r\n]+/g, ' ')}"`;

const pairs = (word: string, list: readonly (readonly [string, string])[]): string[] => {
  // Sorted, so that the same build has the same text.
  const sorted = [...new Map(list)].sort(([a], [b]) => (a < b ? -1 : 1));
  if (sorted.length === 0) return [];
  return [
    `${word} ${sorted.map(([name, value]) => `${/^[\w.-]+$/.test(name) ? name : quote(name)}=${quote(value)}`).join(' \\\n      ')}`,
  ];
};

/**
 * The Dockerfile of a build: the builder, the sources below its destination, assemble run by its user, and run as what
 * the image does. The same recipe has the same text, byte for byte.
 */
export function writeDockerfile(recipe: DockerfileRecipe): string {
  const { builder, destination, assemble, run, previous, assembleUser, user } = recipe;
  const at = (name: string): string => `${destination.replace(/\/+$/, '')}/${name}`;
  const owner = assembleUser === '' ? 'root' : assembleUser;
  const chown = (path: string): string => `chown -R ${owner.includes(':') ? owner : `${owner}:0`} ${path}`;
  const lines = ['# Source to image: the sources are in upload/src, scripts that come with them in upload/scripts.'];
  if (previous !== undefined) {
    const save = previous.saveArtifacts.path;
    lines.push(
      `FROM ${previous.image} AS previous`,
      'USER root',
      // An image that has nothing to keep is no error.
      `RUN if [ -x ${save} ]; then ${save} > /tmp/artifacts.tar; else tar -cf /tmp/artifacts.tar -T /dev/null; fi`,
      '',
    );
  }
  lines.push(`FROM ${builder.name}`);
  lines.push(...pairs('LABEL', recipe.labels), ...pairs('ENV', recipe.env));
  lines.push('USER root', `COPY upload/src ${at('src')}`);
  if (recipe.uploadsScripts) lines.push(`COPY upload/scripts ${at('scripts')}`);
  if (previous !== undefined) {
    lines.push(
      `COPY --from=previous /tmp/artifacts.tar ${at('artifacts.tar')}`,
      `RUN mkdir -p ${at('artifacts')} && tar -C ${at('artifacts')} -xf ${at('artifacts.tar')} && rm ${at('artifacts.tar')}`,
    );
  }
  const folders = ['src', ...(previous === undefined ? [] : ['artifacts'])].map(at).join(' ');
  lines.push(`RUN ${chown(folders)}`);
  if (owner !== 'root') lines.push(`USER ${owner}`);
  lines.push(`RUN ${assemble.path}`);
  if (user !== owner) lines.push(`USER ${user === '' ? 'root' : user}`);
  lines.push(`CMD ${JSON.stringify([run.path])}`, '');
  return lines.join('\n');
}
