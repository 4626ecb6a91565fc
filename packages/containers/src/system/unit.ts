import type { Surroundings } from './values.ts';

/** What a container's unit runs. `detached`: the template follows the container by its PID file. */
export function execLines(options: {
  runtime: string;
  name: string;
  place: string;
  pidFile: string;
  detached: boolean;
}): Surroundings['exec'] {
  const { runtime, name, place, pidFile, detached } = options;
  const run = `${runtime} run --bundle ${place}`;
  return {
    start: detached ? `${run} --detach --pid-file ${pidFile} ${name}` : `${run} ${name}`,
    stop: `${runtime} kill ${name}`,
    // What a killed runtime left of it would be in the way of the next start.
    startPre: `-${runtime} delete --force ${name}`,
    stopPost: `-${runtime} delete --force ${name}`,
  };
}

/** The unit of an image that brings none. */
export const DEFAULT_UNIT = `[Unit]
Description=$NAME ($IMAGE_NAME)
After=network.target

[Service]
ExecStart=$EXEC_START
ExecStop=$EXEC_STOP
Restart=on-failure
WorkingDirectory=$DESTDIR

[Install]
WantedBy=multi-user.target
`;

/** What each unit gets besides what its image says, as a drop-in. */
export const dropIn = (options: {
  place: string;
  runtime: string;
  name: string;
  user: boolean;
  /** Path of a profile for AppArmor, and the program that loads it. */
  profile: { path: string; parser: string } | null;
}): string => {
  const { place, runtime, name, user, profile } = options;
  const load = profile === null ? '' : `ExecStartPre=${profile.parser} --replace --skip-cache ${profile.path}\n`;
  const order = user ? '' : 'After=atomic-containers-recover.service\n';
  return `[Unit]
RequiresMountsFor=${place}
${order}
[Service]
SyslogIdentifier=${name}
ExecStartPre=-${runtime} delete --force ${name}
${load}ExecStopPost=-${runtime} delete --force ${name}
`;
};
