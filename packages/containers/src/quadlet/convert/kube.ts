import { quoteWords } from '../words.ts';
import {
  engine,
  extraWords,
  isOneshot,
  killMode,
  loggingWords,
  networkWords,
  PORTS,
  setDefault,
  userMappings,
  workingDirectory,
} from './common.ts';
import { absolutePath, type Conversion, refuse, text } from './conversion.ts';
import { list, rowWords } from './rows.ts';

/** `local`, or `CONTAINER/local` for one container of the file. */
const autoUpdate = (update: string): string[] => {
  const slash = update.indexOf('/');
  const label = 'io.containers.autoupdate';
  return slash === -1
    ? [`--annotation=${label}=${update}`]
    : [`--annotation=${label}/${update.slice(0, slash)}=${update.slice(slash + 1)}`];
};

/** A `.kube`: a service that plays Kubernetes YAML. */
export function convertKube(conversion: Conversion): void {
  const { source, group, unit } = conversion;
  const files = source.list(group, 'Yaml').map((file) => absolutePath(conversion, file));
  if (files.length === 0) throw refuse('no Yaml key specified');
  killMode(conversion);
  unit.add('Service', 'Environment', 'PODMAN_SYSTEMD_UNIT=%n');
  if (!isOneshot(conversion)) {
    unit.set('Service', 'Type', 'notify');
    unit.set('Service', 'NotifyAccess', 'all');
  }
  setDefault(conversion, 'SyslogIdentifier', '%N');
  const play = engine(conversion, 'kube', 'play', '--replace', '--service-container=true');
  const exitCode = text(conversion, 'ExitCodePropagation');
  if (exitCode !== undefined) play.push(`--service-exit-code-propagation=${exitCode}`);
  play.push(...loggingWords(conversion), ...userMappings(conversion, false), ...networkWords(conversion));
  play.push(...rowWords(conversion, [list('AutoUpdate', autoUpdate)]));
  for (const map of source.list(group, 'ConfigMap')) play.push('--configmap', absolutePath(conversion, map));
  play.push(...rowWords(conversion, PORTS), ...extraWords(conversion), ...files);
  unit.add('Service', 'ExecStart', quoteWords(play));
  const down = engine(conversion, 'kube', 'down');
  const force = source.flag(group, 'KubeDownForce');
  if (force !== undefined) down.push(force ? '--force' : '--force=false');
  unit.add('Service', 'ExecStopPost', quoteWords([...down, ...files]));
  workingDirectory(conversion);
}
