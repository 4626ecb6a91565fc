// The life of an app of quadlets on a machine with systemd and podman: installed, started with the machine, updated,
// brought back by itself when the new version is not well, rolled back, cut off, uninstalled.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { packBundle } from '@atomic/containers';
import { makeImage } from '../containers/lab.ts';
import { type Host, Lab, scenarios, skip } from './lab.ts';

const whyNot =
  skip || (process.env['CONTAINERS_MACHINE'] === undefined ? 'takes minutes: make containers-test' : false);
const FOLDER = '/var/lib/atomic/containers/apps';

const QUADLETS = {
  'web.container': `[Container]
Image=localhost/demo-web:VERSION
Network=host
Exec=SERVE
Volume={{ config }}/index.html:/pages/index.html:ro
Volume=data.volume:/data
ReadOnly=true
NoNewPrivileges=true
[Service]
TimeoutStartSec=120
[Install]
WantedBy=multi-user.target
`,
  'data.volume': '[Volume]\n',
};

/** How a version serves: well, not at all, or without an answer. */
const SERVES = {
  well: 'httpd -f -p {{ port }} -h /pages',
  fails: 'false',
  mute: 'sleep 100000',
} as const;

describe('an app of quadlets on a machine', { skip: whyNot, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let lab: Lab;
  let host: Host;

  before(async () => {
    lab = await Lab.compose('apps');
    host = await lab.host();
    await host.check('mkdir -p /var/apps');
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });
  const scenario = scenarios(() => host);
  /** An emulated machine has somebody logged in before its engine has started what it runs. */
  const reboot = async (): Promise<void> => {
    await host.reboot();
    await host.check('systemctl is-system-running --wait || true');
  };

  /** Makes a version of the app, with its image, and brings it to the machine as one archive. */
  const publish = async (version: string, serve: keyof typeof SERVES = 'well'): Promise<void> => {
    const folder = join(lab.folder, `demo-${version}`);
    const layout = join(lab.folder, `image-${version}`);
    await makeImage(layout, 'x', { files: { '/pages/': '', '/data/': '', '/version': version } });
    await mkdir(join(folder, 'images'), { recursive: true });
    const image = `docker-archive:${join(folder, 'images/web.tar')}:localhost/demo-web:${version}`;
    execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', `oci:${layout}:x`, image]);
    for (const [name, text] of Object.entries(QUADLETS)) {
      await mkdir(join(folder, 'quadlets'), { recursive: true });
      await writeFile(join(folder, 'quadlets', name), text.replace('VERSION', version).replace('SERVE', SERVES[serve]));
    }
    await mkdir(join(folder, 'config'));
    await writeFile(join(folder, 'config/index.html'), 'hello from {{ version }}');
    await writeFile(join(folder, 'config/extra.conf'), `new in ${version}\n`);
    await writeFile(
      join(folder, 'app.yaml'),
      `name: demo\nversion: ${version}\nparameters:\n  port: {type: int, default: 8080}\nhealth:\n  seconds: 90\n  settle: 2\n  probes: [{type: http, url: "http://127.0.0.1:{{ port }}/"}]\n`,
    );
    const packed = join(lab.folder, `packed-${version}`);
    await packBundle(folder, packed, 'x');
    const archive = join(lab.repo.path, `demo-${version}.tar`);
    execFileSync('tar', ['-C', packed, '-cf', archive, '.']);
    const url = `http://10.0.2.2:${lab.server.port}/demo-${version}.tar`;
    await host.check(
      `/usr/lib/atomic/node -e 'fetch("${url}").then(async (r) => ` +
        `require("fs").writeFileSync("/var/apps/demo.tar", Buffer.from(await r.arrayBuffer())))'`,
    );
  };
  const page = (): Promise<string> =>
    host.check(
      `/usr/lib/atomic/node -e 'fetch("http://127.0.0.1:8081/").then(async (r) => process.stdout.write(await r.text()))'`,
    );
  const whole = async (active: string, version: string): Promise<void> => {
    assert.equal(await host.check(`readlink ${FOLDER}/demo; ls ${FOLDER}/.journal`), active);
    assert.equal(await host.check('cat /etc/demo/extra.conf'), `new in ${version}`);
    assert.match(await host.check('systemctl cat demo-web.service'), new RegExp(`of the app demo ${version};`, 'i'));
  };

  scenario('installed, verified by systemd, started with the machine', async () => {
    await publish('1.0');
    const said = await host.check('atomic app install oci-archive:/var/apps/demo.tar --set port=8081');
    assert.match(said, /demo runs demo 1\.0/);
    assert.equal(await host.check('systemd-analyze verify /etc/systemd/system/demo-*.service 2>&1'), '');
    assert.equal(await page(), 'hello from 1.0');
    assert.match(
      await host.check('podman ps --format "{{.Names}} {{.Image}}"'),
      /^demo-web localhost\/atomic-app\/demo\//,
    );
    await reboot();
    assert.equal(await host.check('systemctl is-active demo-web demo-data-volume'), 'active\nactive');
    assert.equal(await page(), 'hello from 1.0');
    await whole('demo.0', '1.0');
  });

  scenario('updated; a bad one returns by itself', async () => {
    await host.check('podman exec demo-web sh -c "echo kept > /data/file"');
    await publish('2.0');
    assert.match(await host.check('atomic app update demo'), /demo runs demo 2\.0/);
    assert.equal(await page(), 'hello from 2.0');
    assert.equal(await host.check('podman exec demo-web cat /data/file'), 'kept');
    await whole('demo.1', '2.0');
    for (const [version, serve, why] of [
      ['3.0', 'fails', /demo is not well/],
      ['4.0', 'mute', /ECONNREFUSED/],
    ] as const) {
      await publish(version, serve);
      const bad = await host.run('atomic app update demo');
      assert.equal(bad.code, 4, bad.output);
      assert.match(bad.output, why);
      assert.equal(await page(), 'hello from 2.0');
      await whole('demo.1', '2.0');
    }
    assert.match((await host.run('atomic app update demo')).output, /was given up before/);
  });

  scenario('rolled back, and the same after a reboot', async () => {
    await host.check('atomic app rollback demo');
    assert.equal(await page(), 'hello from 1.0');
    await reboot();
    assert.equal(await page(), 'hello from 1.0');
    await whole('demo.0', '1.0');
  });

  scenario('uninstalled: nothing is left', async () => {
    await host.check('atomic app uninstall demo --purge');
    const find = `find /etc /run/systemd ${FOLDER} -name '*demo*' -not -path '*/.history/*' `;
    assert.equal(await host.check(find), '');
    assert.equal(await host.check('podman ps -aq; podman volume ls -q'), '');
    assert.equal(await host.check('podman images --format "{{.Repository}}" | grep atomic-app || true'), '');
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
    assert.equal((await host.run('systemctl cat demo-web.service')).code, 1);
  });
});
