import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readWords } from '../labels/words.ts';
import { risksOf } from './risks.ts';

const ids = (line: string, weight: 'grave' | 'note'): string[] =>
  risksOf(readWords(line, 'line'))
    .filter((risk) => risk.weight === weight)
    .map(({ id }) => id);

const TABLE: [line: string, grave: string[], notes?: string[]][] = [
  ['docker run -it IMG sh', []],
  ['docker run --name x -p 80:80 -v data:/data -e A=/:/host IMG --privileged -v /:/host', []],
  ['docker run --privileged IMG', ['privileged']],
  ['docker run --privileged=false IMG', []],
  ['docker run -v /:/host IMG', ['mount:/']],
  ['docker run -v=/:/host IMG', ['mount:/']],
  ['docker run -v/:/host IMG', ['mount:/']],
  ['docker run -itdv //:/host IMG', ['mount:/']],
  ['docker run -v /etc/..:/host:ro IMG', ['mount:/:ro']],
  ['docker run --mount type=bind,src=/,dst=/host IMG', ['mount:/']],
  ['docker run --mount type=volume,src=data,dst=/x IMG', []],
  ['docker run -v /var/run/docker.sock:/s IMG', ['engine-socket']],
  ['docker run -v /run:/run IMG', ['mount:/run']],
  ['docker run -v /etc/localtime:/etc/localtime IMG', []],
  ['docker run -v /etc:/etc IMG', ['mount:/etc']],
  ['docker run -v /etc:/etc:ro,z IMG', ['mount:/etc']],
  ['docker run -v /etc:/a -v /etc:/b:ro IMG', ['mount:/etc', 'mount:/etc:ro']],
  ['docker run -v /srv/www:/www IMG', ['mount:/srv/www']],
  ['docker run -v /srv/www:/www:ro -v /usr/share:/s:ro IMG', [], ['mount:/srv/www:ro', 'mount:/usr/share:ro']],
  ['docker run -v /usr:/usr:ro,U IMG', ['mount:/usr']],
  ['docker run -v /etc/hosts:/etc/hosts:ro IMG', []],
  ['docker run -v /etc/hosts:/etc/hosts IMG', ['mount:/etc/hosts']],
  ['docker run -v /run/dbus:/run/dbus:ro IMG', ['mount:/run/dbus:ro']],
  ['docker run -v /bin:/a -v /sbin:/b IMG', ['mount:/bin', 'mount:/sbin']],
  ['docker run -v /lib64:/a -v /sysroot:/b IMG', ['mount:/lib64', 'mount:/sysroot']],
  ['docker run -v ../../../../..:/host IMG', ['mount:/']],
  ['docker run -v ./data:/data -v a/b:/c IMG', ['mount:./data', 'mount:./a/b']],
  ['docker run --mount type=BIND,source=/,target=/host IMG', ['mount:/']],
  ['docker run --mount TYPE=bind,Source=/,target=/host,readonly IMG', ['mount:/:ro']],
  [`docker run --mount '"type=bind","source=/","target=/a,b"' IMG`, ['mount:/']],
  ['docker run --mount type=bind,src=/etc,dst=/e,ro=false IMG', ['mount:/etc']],
  [
    'docker run --mount type=volume,dst=/h,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/ IMG',
    ['mount-option:type=volume,dst=/h,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/'],
  ],
  ['docker run --mount type=glob,src=/etc/* IMG', ['mount-option:type=glob,src=/etc/*']],
  [`docker run --mount 'type="bind"' IMG`, ['mount-option:type="bind"']],
  ['docker run --mount type=tmpfs,dst=/x --mount dst=/y IMG', []],
  ['podman run --cgroups enabled --privileged -v /:/host IMG', ['privileged', 'mount:/']],
  ['podman run --health-max-log-count 3 --privileged IMG', ['privileged']],
  ['podman run --new-one 3 --privileged IMG', ['unknown:--new-one 3 --privileged IMG']],
  ['podman run --constructor IMG', ['unknown:--constructor IMG']],
  ['docker run --pull --privileged IMG', ['unknown:--pull --privileged IMG']],
  ['docker run -iX IMG', ['unknown:-iX IMG']],
  ['podman run --rootfs /', ['rootfs:/']],
  ['docker run --use-api-socket IMG', ['engine-socket']],
  ['podman run --pid=ns:/proc/1/ns/pid IMG', ['processes:ns:/proc/1/ns/pid']],
  ['docker run --network name=host IMG', ['network:name=host']],
  ['docker run --network mine --ipc=private --userns=keep-id:uid=1 IMG', []],
  ['podman --runtime X run IMG', ['engine-option:runtime=X']],
  ['podman --hooks-dir X rm y', ['engine-option:hooks-dir=X']],
  ['podman --log-level debug run IMG', []],
  ['podman --newer x run IMG', ['engine-option:newer=true', 'unknown:--newer x run IMG', 'engine:x']],
  ['docker run --runtime=/tmp/x IMG', ['runtime:/tmp/x']],
  ['docker run --runtime=crun IMG', [], ['runtime:crun']],
  ['docker exec OTHER chroot /host', ['exec:OTHER']],
  ['docker run --env-file /root/secrets IMG', ['file:/root/secrets']],
  ['docker run -e A -e B=* IMG', []],
  ['podman run -e * IMG', ['option:--env *']],
  ['docker run --volumes-from other IMG', ['volumes-from:other']],
  ['podman run --cap-add=CHOWN,SYS_ADMIN IMG', ['capability:SYS_ADMIN'], ['capability:CHOWN']],
  ['podman run --log-opt path=/etc/cron.d/x IMG', ['option:--log-opt path=/etc/cron.d/x']],
  ['docker run --log-driver json-file --log-opt max-size=1m IMG', []],
  ['docker run --annotation run.oci.hooks.stdout=/x IMG', ['option:--annotation run.oci.hooks.stdout=/x']],
  ['docker run --security-opt no-new-privileges IMG', []],
  ['docker run --security-opt label=type:spc_t IMG', ['security:label=type:spc_t']],
  [
    'docker run --net=host --pid host --ipc=host --uts=host --userns host IMG',
    ['network', 'processes', 'ipc', 'hostname', 'users'],
  ],
  ['docker run --network=container:db IMG', ['network:db']],
  ['docker run --device=/dev/kvm:/dev/kvm IMG', ['device:/dev/kvm']],
  ['docker run --cap-add=CAP_SYS_ADMIN --cap-add chown IMG', ['capability:SYS_ADMIN'], ['capability:CHOWN']],
  [
    'docker run --security-opt seccomp=unconfined --security-opt label:disable --security-opt apparmor=unconfined IMG',
    ['seccomp', 'selinux', 'apparmor'],
  ],
  ['podman run --security-opt unmask=ALL IMG', ['system-paths']],
  ['docker run --restart=always IMG', [], ['restart']],
  ['/usr/bin/docker -H tcp://x container run --privileged IMG', ['engine-option:H=tcp://x', 'privileged']],
  ['docker rm -f x', []],
  ['docker stop -t 10 x', []],
  ['podman logs --tail=3 -f x', []],
  ['podman ps --storage-opt overlay.mount_program=/x', ['engine:ps --storage-opt']],
  ['podman start -r x', ['engine:start -r']],
  ['podman run -v data:/x:O,upperdir=/etc IMG', ['mount-option:data:/x:O,upperdir=/etc']],
  ['docker run -v data:/x:ro,nocopy -v /usr/a:/a:ro,rslave IMG', [], ['mount:/usr/a:ro']],
  ['podman run --log-driver=passthrough-tty IMG', ['option:--log-driver passthrough-tty']],
  ['docker build .', ['engine:build']],
  ['rm -rf /', ['program']],
];

for (const [line, grave, notes = []] of TABLE) {
  test(`risks: ${line}`, () => {
    assert.deepEqual(ids(line, 'grave'), grave);
    assert.deepEqual(ids(line, 'note'), notes);
  });
}

test('risks: a container that is there may do what it likes in itself', () => {
  const risks = (line: string): string[] => risksOf(readWords(line, 'line'), 'web').map(({ id }) => id);
  assert.deepEqual(risks('docker exec -t --user root web nginx -s quit'), []);
  assert.deepEqual(risks('docker exec web2 true'), ['exec:web2']);
  assert.deepEqual(risks('docker exec --privileged web true'), ['privileged', 'exec:web']);
  assert.deepEqual(risks('podman exec -l sh web'), ['exec:web']);
});
