/** Where the service of {@link registryUnit} keeps its store: its StateDirectory. */
export const UNIT_REPO = '/var/lib/atomic-registry/repo';

/** A word as systemd reads it in ExecStart= (systemd.service(5), "Command lines"). */
const word = (text: string): string => {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('%', '%%').replaceAll('$', '$$$$').replaceAll('"', '\\"');
  return /^[\w@%+=:,./-]+$/.test(text) ? escaped : `"${escaped}"`;
};

/**
 * A service that runs a registry as a user of its own, who can read and write nothing else. `args` follow
 * `atomic registry serve --repo=…`; `credentials` are files only root can read (name → path), seen in the folder `%d`.
 */
export function registryUnit(options: {
  program: string;
  args: readonly string[];
  credentials?: Readonly<Record<string, string>> | undefined;
}): string {
  const credentials = Object.entries(options.credentials ?? {});
  const command = [options.program, 'registry', 'serve', `--repo=${UNIT_REPO}`, ...options.args].map(word);
  for (const [name] of credentials) command.push(`--${name}=%d/${name}`);
  return `[Unit]
Description=Image registry of Atomic
Documentation=man:atomic(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart=${command.join(' ')}
${credentials.map(([name, path]) => `LoadCredential=${name}:${path}\n`).join('')}Restart=on-failure
DynamicUser=yes
StateDirectory=atomic-registry
StateDirectoryMode=0700
UMask=0077
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
`;
}
