// The life of system containers on a machine with systemd: installed, started with the machine, updated, taken back when
// the new version is not well, rolled back, cut off, uninstalled.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { makeImage } from '../containers/lab.ts';
import { type WebOptions, webRecipe } from '../containers/system-lab.ts';
import { type Host, Lab, scenarios, skip } from './lab.ts';

const whyNot =
  skip || (process.env['CONTAINERS_MACHINE'] === undefined ? 'takes minutes: make containers-test' : false);
const FOLDER = '/var/lib/containers/atomic';

describe('system containers of a machine', { skip: whyNot, concurrency: 1, timeout: 40 * 60_000 }, () => {
  let lab: Lab;
  let host: Host;

  before(async () => {
    lab = await Lab.compose('containers');
    host = await lab.host();
    await host.check('mkdir -p /var/images; atomic trust default accept');
  });
  after(async () => {
    await host?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });
  const scenario = scenarios(() => host);
  /** Puts an image where the machine fetches the newest from: an archive in a folder of its own. */
  const publish = async (options: WebOptions): Promise<void> => {
    const layout = join(lab.folder, `web-${options.version}`);
    // A computer that is emulated takes its time.
    const health = { http: 'http://127.0.0.1:$PORT/', seconds: 40, interval: 1, settle: 1 };
    await makeImage(layout, 'x', webRecipe({ ...options, manifest: { health } }));
    const archive = join(lab.repo.path, `web-${options.version}.tar`);
    execFileSync('tar', ['-C', layout, '-cf', archive, '.']);
    const url = `http://10.0.2.2:${lab.server.port}/web-${options.version}.tar`;
    await host.check(
      `/usr/lib/atomic/node -e 'fetch("${url}").then(async (r) => ` +
        `require("fs").writeFileSync("/var/images/web.tar", Buffer.from(await r.arrayBuffer())))'`,
    );
  };
  const web = (): Promise<string> =>
    host.check(
      `/usr/lib/atomic/node -e 'fetch("http://127.0.0.1:8081/").then(async (r) => process.stdout.write(await r.text()))'`,
    );
  const whole = async (active: string): Promise<void> => {
    assert.equal(
      await host.check(`readlink ${FOLDER}/web; ls ${FOLDER}/.journal ${FOLDER}/.stage`),
      `${active}\n${FOLDER}/.journal:\n\n${FOLDER}/.stage:`,
    );
    assert.match(await host.check('systemctl cat web.service'), new RegExp(`WorkingDirectory=${FOLDER}/${active}\n`));
  };

  scenario('installed: verified by systemd, confined, started with the machine', async () => {
    await publish({ version: 'one' });
    await host.check('atomic pull --name localhost/web:1 oci-archive:/var/images/web.tar');
    const said = await host.check('atomic install --system --set PORT=8081 localhost/web:1');
    assert.match(said, /web is installed/);
    assert.equal(
      await host.check('systemd-analyze verify /etc/systemd/system/web.service 2>&1 | grep web || true'),
      '',
    );
    // A unit of another kind that needs it.
    await host.check(
      `printf '[Unit]\\nRequires=web.service\\nAfter=web.service\\n[Service]\\nExecStart=/bin/sleep 1d\\n[Install]\\nWantedBy=multi-user.target\\n' ` +
        '> /etc/systemd/system/needs-web.service; systemctl daemon-reload; systemctl enable needs-web',
    );
    assert.equal((await host.run('systemctl is-active web')).output.trim(), 'inactive');
    await host.reboot();
    assert.equal(await host.check('systemctl is-active web needs-web'), 'active\nactive');
    assert.equal(await web(), 'hello from one');
    const inside = await host.check('atomic run web cat /proc/1/status /proc/1/attr/current');
    assert.match(inside, /NoNewPrivs:\s+1\s+Seccomp:\s+2/);
    assert.match(inside, /atomic-web \(enforce\)/, 'AppArmor');
    assert.equal(await host.check('runc list -q'), 'web');
    assert.equal(await host.check('stat -c %a /var/lib/containers/atomic'), '700');
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
  });

  scenario('updated, with those who need it; a bad one returns by itself', async () => {
    await publish({ version: 'two' });
    await host.check("sed -i 's/^port/# mine\\nport/' /etc/web/web.conf");
    const said = await host.check('atomic containers update web');
    assert.match(said, /web\.1 is in use/);
    assert.match(said, /web\.conf: was changed here and stays/);
    assert.deepEqual([await web(), await host.check('webctl')], ['hello from two', 'two']);
    assert.equal(await host.check('systemctl is-active web needs-web'), 'active\nactive');
    await whole('web.1');

    await publish({ version: 'three', serve: 'fails' });
    const failed = await host.run('atomic containers update web');
    assert.equal(failed.code, 4, failed.output);
    assert.match(failed.output, /web is not well: .*web\.1 is in use again/);
    assert.deepEqual([await web(), await host.check('webctl')], ['hello from two', 'two']);
    assert.equal(await host.check('systemctl is-active web needs-web'), 'active\nactive');
    await whole('web.1');

    await publish({ version: 'four', serve: 'mute' });
    const mute = await host.run('atomic containers update web');
    assert.equal(mute.code, 4, mute.output);
    assert.match(mute.output, /ECONNREFUSED.*not well within 40 s/);
    assert.equal(await web(), 'hello from two');
    await whole('web.1');
  });

  scenario('rolled back, and the same after a reboot', async () => {
    await host.check('atomic containers rollback web');
    assert.equal(await web(), 'hello from one');
    await host.reboot();
    assert.equal(await web(), 'hello from one');
    assert.equal(await host.check('systemctl is-active web needs-web'), 'active\nactive');
    await whole('web.0');
  });

  scenario('the power fails while a new version is being checked: the old one runs after it', async () => {
    await publish({ version: 'five', serve: 'mute' });
    await host.check('systemd-run --quiet --unit=cut-off atomic containers update web');
    await host.check(`until [ "$(readlink ${FOLDER}/web)" = web.2 ]; do sleep 0.2; done; sleep 2; sync`);
    await host.powerCut();
    await host.check('systemctl is-system-running --wait || true');
    assert.equal(await host.check('systemctl is-active web needs-web'), 'active\nactive');
    assert.equal(await web(), 'hello from one');
    await whole('web.0');
    assert.match(await host.check('atomic info --json web'), /it was cut off before it had proved well/);
  });

  scenario('uninstalled: nothing is left but what was changed here', async () => {
    await host.check('systemctl disable --now needs-web; rm /etc/systemd/system/needs-web.service');
    await host.check('atomic uninstall web');
    const find = `find /etc /usr/local /run ${FOLDER} \\( -name 'web*' -o -name '*-web.*' \\) -not -path '*/.history/*' -not -path '/etc/apparmor*'`;
    assert.equal(await host.check(find), '/etc/web\n/etc/web/web.conf');
    assert.equal(await host.check('runc list -q; atomic containers list -q'), '');
    assert.equal((await host.run('systemctl cat web.service')).code, 1);
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
  });
});
