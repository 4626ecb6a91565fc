import type { EngineReasons } from '../convert/honoured.ts';

export const DOCKER: EngineReasons = {
  engine: 'docker',
  reasons: {
    Annotation: 'docker has no annotations',
    AutoUpdate: 'it is podman that updates by it: see atomic app update',
    CgroupsMode: 'docker puts containers into control groups of its own',
    ContainersConfModule: 'containers.conf is podman’s',
    GlobalArgs: 'they are options of podman',
    Pod: 'docker has no pods',
    PodmanArgs: 'they are options of podman',
    Rootfs: 'docker runs images only',
    Secret: 'docker has secrets in swarms only: mount a file instead',
  },
};
