// The life of system containers on a machine with systemd: installed, started with the machine, updated, taken back when
// the new version is not well, rolled back, cut off, uninstalled.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
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
    await fetchTo(`web-${options.version}.tar`, '/var/images/web.tar');
  };
  const fetchTo = (name: string, path: string): Promise<string> =>
    host.check(
      `/usr/lib/atomic/node -e 'fetch("http://10.0.2.2:${lab.server.port}/${name}").then(async (r) => ` +
        `require("fs").writeFileSync("${path}", Buffer.from(await r.arrayBuffer())))'`,
    );
  const page = (port: number): Promise<string> =>
    host.check(
      `/usr/lib/atomic/node -e 'fetch("http://127.0.0.1:${port}/").then(async (r) => process.stdout.write(await r.text()))'`,
    );
  const web = (): Promise<string> => page(8081);
  /** Every path that could be left of a container, those of the machine's own daily work left out. */
  const paths = async (): Promise<string[]> => {
    const own = [
      '/var/log',
      '/var/tmp',
      '/var/cache',
      '/var/lib/systemd',
      '/var/images',
      '/var/lib/atomic',
      '/run/systemd',
    ];
    const papers = ['.journal', '.stage', '.history', '.lock'].map((name) => `${FOLDER}/${name}`);
    const prune = [...own, ...papers].map((path) => `-path ${path}`).join(' -o ');
    const roots = '/etc /opt /root /srv /usr/local/ /var/ /run/runc /run/crun /sys/fs/cgroup/system.slice/web.service';
    return (await host.check(`find ${roots} \\( ${prune} \\) -prune -o -print 2> /dev/null | sort`)).split('\n');
  };
  const objects = (): Promise<string> =>
    host.check('find /ostree/repo/objects /ostree/repo/refs -type f | sort | sha256sum');
  /** Before anything was there. */
  let clean: { paths: string[]; objects: string };
  const whole = async (active: string): Promise<void> => {
    assert.equal(
      await host.check(`readlink ${FOLDER}/web; ls ${FOLDER}/.journal ${FOLDER}/.stage`),
      `${active}\n${FOLDER}/.journal:\n\n${FOLDER}/.stage:`,
    );
    assert.match(await host.check('systemctl cat web.service'), new RegExp(`WorkingDirectory=${FOLDER}/${active}\n`));
  };

  scenario('installed: verified by systemd, confined, started with the machine', async () => {
    await publish({ version: 'one' });
    clean = { paths: await paths(), objects: await objects() };
    // As sysroot.readonly=true has it.
    await host.check('mount -o remount,bind,ro /sysroot; ! touch /sysroot/ostree/repo/x 2> /dev/null');
    await host.check('atomic pull --name localhost/web:1 oci-archive:/var/images/web.tar');
    const said = await host.check('atomic install --system --set PORT=8081 localhost/web:1');
    assert.match(said, /web is installed/);
    // /var is a mount of its own there, over which no link can be made.
    const copies = await host.check(`find ${FOLDER}/web.0/rootfs -type f -size +0 -links 1`);
    assert.equal(copies, '', 'its files are those of the store');
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
    await host.check('echo "# mine" >> /etc/web/web.conf');
    await host.check('systemctl disable --now needs-web; rm /etc/systemd/system/needs-web.service');
    assert.match(await host.check('atomic uninstall --display web 2>&1'), /\/var\/lib\/web: its data, which stays/);
    const said = await host.check('atomic uninstall --purge web 2>&1');
    assert.match(said, /\/etc\/web\/web\.conf: was changed here and stays/);
    const now = await paths();
    assert.deepEqual(
      now.filter((path) => !clean.paths.includes(path)),
      // Beside what was changed here: runc's own folder, in memory, and the one for all containers, with the history.
      ['/etc/web', '/etc/web/web.conf', '/run/runc', dirname(FOLDER), FOLDER],
    );
    assert.deepEqual(
      clean.paths.filter((path) => !now.includes(path)),
      [],
    );
    assert.equal(await host.check('grep atomic-web /sys/kernel/security/apparmor/profiles || true'), '');
    // Nor of its images, when these go as well.
    await host.check('atomic images delete --yes localhost/web:1 && atomic images prune');
    assert.equal(await objects(), clean.objects);
    const find = `find /etc /usr/local /run ${FOLDER} \\( -name 'web*' -o -name '*-web.*' \\) -not -path '*/.history/*' -not -path '/etc/apparmor*'`;
    assert.equal(await host.check(find), '/etc/web\n/etc/web/web.conf');
    assert.equal(await host.check('runc list -q; atomic containers list -q'), '');
    assert.equal((await host.run('systemctl cat web.service')).code, 1);
    assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
  });

  scenario(
    'a quadlet without an engine: by systemd, at boot, again when it is killed, gone without a trace',
    async () => {
      assert.notEqual((await host.run('command -v podman || command -v docker')).code, 0, 'there is no engine');
      const layout = join(lab.folder, 'quadlet');
      const serve =
        '#!/bin/sh\necho started >> /data/starts\necho "start $(grep -c . /data/starts)" > /pages/index.html\n' +
        // The first process of a container ends by signals that it handles alone; one that is killed in the end has failed.
        'trap "exit 0" TERM\nhttpd -f -p 8082 -h /pages & wait\n';
      await makeImage(layout, 'x', { files: { '/pages/': '', '/data/': '', '/bin/serve.sh': serve } });
      const archive = join(lab.repo.path, 'quadlet.tar');
      execFileSync('tar', ['-C', layout, '-cf', archive, '.']);
      await fetchTo('quadlet.tar', '/var/images/quadlet.tar');
      await host.check('atomic pull --name localhost/pages:1 oci-archive:/var/images/quadlet.tar');
      const before = await paths();
      const files = {
        '/root/pages.container': `[Container]\nImage=localhost/pages:1\nNetwork=host\nVolume=kept.volume:/data\nExec=/bin/serve.sh\n[Service]\nRestart=always\n[Install]\nWantedBy=multi-user.target\n`,
        '/root/kept.volume': '[Volume]\n',
        '/etc/systemd/system-generators/atomic-quadlet': '#!/bin/sh\nexec /usr/bin/atomic quadlet generator "$@"\n',
      };
      for (const [path, text] of Object.entries(files)) {
        const coded = Buffer.from(text).toString('base64');
        await host.check(`mkdir -p $(dirname ${path}); echo ${coded} | base64 -d > ${path}`);
      }
      await host.check('chmod +x /etc/systemd/system-generators/atomic-quadlet');
      await host.check('atomic quadlet install /root/pages.container /root/kept.volume; systemctl daemon-reload');
      assert.equal(
        await host.check('systemd-analyze verify /run/systemd/generator/pages.service 2>&1 | grep pages || true'),
        '',
      );
      await host.reboot();
      await host.check('systemctl is-system-running --wait || true');
      const answer = (): Promise<string> => page(8082);
      assert.equal(await host.check('systemctl is-active pages kept-volume'), 'active\nactive');
      assert.equal((await answer()).trim(), 'start 1');
      const unit = await host.check('systemctl show -p MainPID --value pages; systemctl cat pages.service');
      assert.match(unit, /^ExecStart=.*runc /m);
      const status = await host.check(
        "for p in $(grep -la '[h]ttpd' /proc/[0-9]*/cmdline); do grep Seccomp: ${p%cmdline}status; cat ${p%cmdline}attr/current; done",
      );
      assert.match(status, /Seccomp:\s+2/);
      assert.match(status, /atomic-quadlet-.* \(enforce\)/, 'AppArmor');
      await host.check(
        'systemctl kill --signal=KILL pages; until [ "$(systemctl show -p NRestarts --value pages)" = 1 ]; do sleep 1; done',
      );
      await host.check('until systemctl is-active pages; do sleep 1; done');
      assert.equal((await answer()).trim(), 'start 2');
      // The container itself does not ask for its lines to be on the disk.
      await host.check('sync');
      await host.powerCut();
      await host.check('systemctl is-system-running --wait || true');
      assert.equal((await answer()).trim(), 'start 3', 'what it keeps is kept');
      await host.check(
        'systemctl stop pages kept-volume && atomic quadlet rm pages.container && systemctl daemon-reload',
      );
      await host.check('rm -r /var/lib/atomic/containers/volumes /root/pages.container /root/kept.volume');
      await host.check('rm -r /etc/systemd/system-generators; systemctl daemon-reload');
      assert.equal(
        await host.check(
          'ls -A /var/lib/atomic/containers/quadlets 2> /dev/null; ls -A /run/atomic/quadlets 2> /dev/null || true',
        ),
        '',
      );
      assert.deepEqual(
        (await paths()).filter((path) => !before.includes(path) && path !== '/etc/containers/systemd'),
        [],
      );
      assert.equal(await host.check('systemctl --failed --plain --no-legend'), '');
    },
  );
});
