import type { QuadletType } from './unit-names.ts';

const words = (text: string): string[] => text.trim().split(/\s+/);

const EVERYWHERE = words('ContainersConfModule GlobalArgs PodmanArgs ServiceName');
const REMAP = words('RemapGid RemapUid RemapUidSize RemapUsers');
const MAPS = words('GIDMap SubGIDMap SubUIDMap UIDMap UserNS');
const NAMES = words('AddHost DNS DNSOption DNSSearch HostName IP IP6 Network NetworkAlias PublishPort');
const PULLING = words('AuthFile CertDir Creds DecryptionKey Retry RetryDelay TLSVerify');

/** The keys of each type's own group (podman 6.1; docs/quadlet.md says which engine honours which). */
export const KEYS: Readonly<Record<QuadletType, ReadonlySet<string>>> = {
  container: new Set([
    ...EVERYWHERE,
    ...REMAP,
    ...MAPS,
    ...NAMES,
    ...words(`
      AddCapability AddDevice Annotation AppArmor AutoUpdate CgroupsMode ContainerName DropCapability Entrypoint
      Environment EnvironmentFile EnvironmentHost Exec ExposeHostPort Group GroupAdd HealthCmd HealthInterval
      HealthLogDestination HealthMaxLogCount HealthMaxLogSize HealthOnFailure HealthRetries HealthStartPeriod
      HealthStartupCmd HealthStartupInterval HealthStartupRetries HealthStartupSuccess HealthStartupTimeout
      HealthTimeout HttpProxy Image Label LogDriver LogOpt Mask Memory Mount NoNewPrivileges Notify PidsLimit Pod Pull
      ReadOnly ReadOnlyTmpfs ReloadCmd ReloadSignal Retry RetryDelay Rootfs RunInit SeccompProfile Secret
      SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel SecurityLabelNested SecurityLabelType ShmSize
      StartWithPod StopSignal StopTimeout Sysctl Timezone Tmpfs Ulimit Unmask User VolatileTmp Volume WorkingDir`),
  ]),
  volume: new Set([
    ...EVERYWHERE,
    ...words('Copy Device Driver GID Group Image Label Options Type UID User VolumeName'),
  ]),
  network: new Set([
    ...EVERYWHERE,
    ...words(`DisableDNS DNS Driver Gateway InterfaceName Internal IPAMDriver IPRange IPv6 Label NetworkDeleteOnStop
      NetworkName Options Subnet`),
  ]),
  pod: new Set([
    ...EVERYWHERE,
    ...REMAP,
    ...MAPS,
    ...NAMES,
    ...words('ExitPolicy Label PodName ShmSize StopTimeout Volume'),
  ]),
  kube: new Set([
    ...EVERYWHERE,
    ...REMAP,
    ...words(`AutoUpdate ConfigMap ExitCodePropagation KubeDownForce LogDriver LogOpt Network PublishPort
      SetWorkingDirectory UserNS Yaml`),
  ]),
  image: new Set([...EVERYWHERE, ...PULLING, ...words('AllTags Arch Image ImageTag OS Policy Variant')]),
  build: new Set([
    ...EVERYWHERE,
    ...words(`Annotation Arch AuthFile BuildArg DNS DNSOption DNSSearch Environment File ForceRM GroupAdd IgnoreFile
      ImageTag Label Network Pull Retry RetryDelay Secret SetWorkingDirectory Target TLSVerify Variant Volume`),
  ]),
  artifact: new Set([...EVERYWHERE, ...PULLING, ...words('Artifact Quiet')]),
};

/** Keys of the group [Quadlet], of every type. */
export const QUADLET_KEYS: ReadonlySet<string> = new Set(['DefaultDependencies']);

/** Keys of [Service] that podman does not get along with: warned of, not refused. */
export const RISKY_SERVICE_KEYS = ['User', 'Group', 'DynamicUser'] as const;
