import type { EngineReasons } from '../convert/honoured.ts';

export const WITHOUT_ENGINE: EngineReasons = {
  engine: 'a runtime without an engine',
  reasons: {
    AutoUpdate: 'it is podman that updates by it; atomic pull fetches, and the next start takes what is there',
    CgroupsMode: 'the runtime makes a control group of its own',
    ContainersConfModule: 'containers.conf is podman’s',
    GlobalArgs: 'they are options of podman',
    HealthOnFailure: 'health is asked for at the start only: see Notify=healthy',
    IP: 'there are no bridges without an engine',
    IP6: 'there are no bridges without an engine',
    Mount: 'say it with Volume= or Tmpfs=',
    NetworkAlias: 'there are no bridges without an engine',
    Pod: 'there are no pods without an engine: let the containers use Network=host',
    PodmanArgs: 'they are options of podman',
    Rootfs: 'it runs images of the store',
    RunInit: 'there is no init to run: let the image have one',
    Secret: 'there are no secrets without an engine: mount a file with Volume=',
  },
};
