import type { Group } from '../groups.ts';
import { VERBS, type VerbName } from './verbs.ts';

const LOADERS: Record<VerbName, NonNullable<Group['load']>> = {
  pull: () => import('./pull.ts'),
  push: () => import('./push.ts'),
  mount: () => import('./mount.ts'),
  unmount: () => import('./unmount.ts'),
  diff: () => import('./diff.ts'),
  run: () => import('./run.ts'),
  install: () => import('./install.ts'),
  stop: () => import('./stop.ts'),
  uninstall: () => import('./uninstall.ts'),
  app: () => import('./app.ts'),
  quadlet: () => import('./quadlet.ts'),
  containers: () => import('./containers/index.ts'),
  images: () => import('./images/index.ts'),
  update: () => import('./images/update.ts'),
  info: () => import('./info.ts'),
  logs: () => import('./logs.ts'),
  exec: () => import('./exec.ts'),
  top: () => import('./top.ts'),
  scan: () => import('./scan.ts'),
  shell: () => import('./shell/index.ts'),
  s2i: () => import('./s2i.ts'),
  registry: () => import('./registry/index.ts'),
  trust: () => import('./trust/index.ts'),
  search: () => import('./search.ts'),
  sign: () => import('./sign.ts'),
};

/** The verbs with their code, which is imported for the one that is asked for. */
export const LOADED_VERBS: readonly Group[] = VERBS.map((verb) => ({ ...verb, load: LOADERS[verb.name] }));
