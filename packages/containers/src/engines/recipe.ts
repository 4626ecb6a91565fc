import { posix } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { EngineApi } from './api.ts';
import type { EngineContainer } from './schema.ts';

const values = z.record(z.string(), z.unknown());
const imageConfig = z.looseObject({ Config: values.nullish() });

/**
 * What the container was made with beyond what its image says: what the image says comes from the new image. Engines
 * keep both in one.
 */
function ownConfig(
  container: Readonly<Record<string, unknown>>,
  image: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const own: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(container)) {
    const given = image[key];
    if (Array.isArray(value) && Array.isArray(given) && key === 'Env') {
      own[key] = value.filter((entry) => !given.includes(entry));
    } else if (key === 'Labels' || key === 'Volumes' || key === 'ExposedPorts') {
      const before = values.safeParse(given).data ?? {};
      const entries = Object.entries(values.safeParse(value).data ?? {});
      own[key] = Object.fromEntries(entries.filter(([name, one]) => !isDeepStrictEqual(before[name], one)));
    } else if (!isDeepStrictEqual(value, given)) own[key] = value;
  }
  return own;
}

export interface Recipe {
  /** What makes the container. */
  body: Record<string, unknown>;
  /** Networks to connect it to afterwards, and how: older engines take one when a container is made. */
  networks: readonly (readonly [name: string, endpoint: Record<string, unknown>])[];
}

/** What makes the same container of another image. */
export async function recipe(api: EngineApi, old: EngineContainer, image: string): Promise<Recipe> {
  const before = await api
    .json('GET', `/images/${encodeURIComponent(old.Image)}/json`, imageConfig)
    .catch(() => undefined);
  const config = ownConfig(old.Config, before?.Config ?? {});
  // Engines name the host after the container unless told otherwise.
  if (typeof config['Hostname'] === 'string' && old.Id.startsWith(config['Hostname'])) delete config['Hostname'];
  const mode = old.HostConfig.NetworkMode;
  const shares = mode === 'host' || mode === 'none' || mode.startsWith('container:');
  const networks = Object.entries(old.NetworkSettings?.Networks ?? {}).map(([name, { Aliases, IPAMConfig, Links }]) => {
    const aliases = Array.isArray(Aliases) ? Aliases.filter((alias) => !old.Id.startsWith(String(alias))) : [];
    return [name, { Aliases: aliases, IPAMConfig, Links }] as const;
  });
  const endpoints = shares ? {} : { NetworkingConfig: { EndpointsConfig: Object.fromEntries(networks.slice(0, 1)) } };
  if (shares) for (const key of ['Hostname', 'Domainname', 'ExposedPorts', 'MacAddress']) delete config[key];
  const host = { ...old.HostConfig, ...volumesOf(old), ...limitsOf(old.HostConfig) };
  return { body: { ...config, Image: image, HostConfig: host, ...endpoints }, networks: networks.slice(1) };
}

/**
 * Binds and mounts that say every volume by its name. Docker lists those it made without one among what is mounted only;
 * the new container would begin with empty ones. Named here, they outlive the old container too, which docker deletes
 * them with else.
 */
function volumesOf({ Mounts, HostConfig }: EngineContainer): { Binds: string[]; Mounts?: unknown[] } {
  const volumes = Mounts.filter(({ Type, Name }) => Type === 'volume' && Name !== '');
  const mounts = HostConfig.Mounts?.map((one) => {
    const found = volumes.find(({ Destination }) => Destination === posix.resolve(one.Target));
    return one.Type !== 'volume' || one.Source || found === undefined ? one : { ...one, Source: found.Name };
  });
  const binds = HostConfig.Binds.filter((bind) => bind.includes(':'));
  const told = [...binds.map((bind) => bind.split(':')[1] ?? ''), ...(mounts ?? []).map(({ Target }) => Target)];
  const known = new Set(told.map((target) => posix.resolve(target)));
  const others = volumes.filter(({ Destination }) => !known.has(Destination));
  const named = others.map(({ Name, Destination, RW }) => `${Name}:${Destination}${RW ? '' : ':ro'}`);
  return { Binds: [...binds, ...named], ...(mounts === undefined ? {} : { Mounts: mounts }) };
}

/** Podman says `RLIMIT_NOFILE` of what it takes as `nofile` only. */
function limitsOf({ Ulimits }: Readonly<Record<string, unknown>>): { Ulimits?: unknown } {
  const limits = z.array(z.looseObject({ Name: z.string() })).safeParse(Ulimits);
  if (!limits.success) return {};
  return { Ulimits: limits.data.map((one) => ({ ...one, Name: one.Name.replace(/^RLIMIT_/, '').toLowerCase() })) };
}
