import { AtomicError } from '@atomic/ostree';
import { convertContainer } from './convert/container.ts';
import { type Conversion, type Surroundings, startUnit, type UnitInfo } from './convert/conversion.ts';
import { cannot } from './convert/honoured.ts';
import { convertArtifact, convertBuild, convertImage } from './convert/images.ts';
import { convertKube } from './convert/kube.ts';
import { convertPod } from './convert/pod.ts';
import { unitInfo } from './convert/resources.ts';
import { convertNetwork, convertVolume } from './convert/storage.ts';
import { dockerContainer } from './docker/container.ts';
import { dockerBuild, dockerImage, dockerNetwork, dockerVolume } from './docker/resources.ts';
import { installLinks, type UnitLink } from './install-links.ts';
import { RISKY_SERVICE_KEYS } from './keys.ts';
import { runcContainer } from './runc/container.ts';
import { runcImage, runcVolume } from './runc/resources.ts';
import type { UnitFile } from './unit-file.ts';
import { GROUP_OF, type QuadletType, typeOrder } from './unit-names.ts';

/** A unit made of a source. */
export interface GeneratedUnit {
  /** File name: `web.service`. */
  name: string;
  /** The source's path, or its name when it lies nowhere. */
  source: string;
  type: QuadletType;
  text: string;
  /** What its [Install] asks for: generated units cannot be enabled otherwise. */
  links: UnitLink[];
  /** Name of the container, volume, network, image or pod that the unit makes; empty when only systemd can tell. */
  resource: string;
}

export interface Generated {
  units: GeneratedUnit[];
  warnings: string[];
  /** Sources that gave no unit, by file name, and why. */
  errors: { source: string; message: string }[];
}

/** How a type's unit is made, for one engine. */
type Converters = Readonly<Record<QuadletType, (conversion: Conversion) => void>>;

/** Units for podman, as podman's own generator makes them. */
const PODMAN: Converters = {
  container: convertContainer,
  volume: convertVolume,
  network: convertNetwork,
  pod: convertPod,
  kube: convertKube,
  image: convertImage,
  build: convertBuild,
  artifact: convertArtifact,
};

/** Units for docker, which has no pods and no artifacts, and does not tell systemd how a container does. */
const DOCKER: Converters = {
  container: dockerContainer,
  volume: dockerVolume,
  network: dockerNetwork,
  image: dockerImage,
  build: dockerBuild,
  pod: () => cannot('docker has no pods: let the containers share a network, or install podman'),
  kube: () => cannot('docker does not play Kubernetes YAML: install podman'),
  artifact: () => cannot('docker does not pull artifacts: install podman'),
};

const NO_BRIDGES = 'only an engine makes networks: containers say Network=host or Network=none; or install podman';

/** Units for runc or crun and the image store, on machines without an engine. */
const RUNC: Converters = {
  container: runcContainer,
  volume: runcVolume,
  image: runcImage,
  network: () => cannot(NO_BRIDGES),
  pod: () => cannot('there are no pods without an engine: let the containers use Network=host, or install podman'),
  kube: () => cannot('without an engine there is nothing to play Kubernetes YAML: install podman'),
  build: () => cannot('without an engine nothing builds images: build it elsewhere, and pull it'),
  artifact: () => cannot('without an engine artifacts are not pulled: install podman'),
};

const CONVERTERS: Readonly<Record<Surroundings['engine'], Converters>> = { podman: PODMAN, docker: DOCKER, runc: RUNC };

/** Whether a name means the same everywhere: an image's ID, or one that starts with a registry. */
function isQualified(image: string): boolean {
  if (image.startsWith('sha256:') || /^[0-9a-fA-F]{64}$/.test(image)) return true;
  const slash = image.indexOf('/');
  const first = image.slice(0, Math.max(slash, 0));
  return /[.:]/.test(first) || first === 'localhost';
}

function warningsOf(source: UnitFile, type: QuadletType): string[] {
  const warnings = RISKY_SERVICE_KEYS.filter((key) => source.has('Service', key)).map(
    (key) => `Warning: using key ${key} in the Service group is not supported - use at your own risk`,
  );
  const image = source.value(GROUP_OF[type], 'Image');
  if (
    ['container', 'volume', 'image', 'artifact'].includes(type) &&
    image !== undefined &&
    !/\.(build|image)$/.test(image) &&
    !isQualified(image)
  ) {
    warnings.push(
      `Warning: ${source.name} specifies the image "${image}" which not a fully qualified image name. This is not ideal for performance and security reasons. See the podman-pull manpage discussion of short-name-aliases.conf for details.`,
    );
  }
  return warnings;
}

/**
 * Makes systemd units of sources. One that cannot be used is told in `errors` and gives no unit; the others do.
 */
export function generate(sources: readonly UnitFile[], surroundings: Surroundings): Generated {
  const converters = CONVERTERS[surroundings.engine];
  const generated: Generated = { units: [], warnings: [], errors: [] };
  const known = sources.flatMap((source) => {
    const info = unitInfo(source);
    return info === undefined ? [] : [{ source, info }];
  });
  const units: ReadonlyMap<string, UnitInfo> = new Map(known.map(({ source, info }) => [source.name, info]));
  known.sort((a, b) => typeOrder(a.info.type) - typeOrder(b.info.type));
  for (const { source, info } of known) {
    generated.warnings.push(...warningsOf(source, info.type));
    let conversion: Conversion | undefined;
    try {
      if (surroundings.engine === 'runc' && surroundings.user) {
        cannot('without an engine units run containers of the machine only: atomic install --user, or install podman');
      }
      conversion = startUnit(source, info, units, surroundings);
      converters[info.type](conversion);
      const { unit } = conversion;
      generated.units.push({
        name: unit.name,
        source: source.path === '' ? source.name : source.path,
        type: info.type,
        text: unit.toString(),
        links: installLinks(unit),
        resource: info.resource,
      });
    } catch (error) {
      if (!(error instanceof AtomicError)) throw error;
      generated.errors.push({ source: source.name, message: error.message });
    }
    generated.warnings.push(...(conversion?.warnings ?? []));
  }
  return generated;
}
