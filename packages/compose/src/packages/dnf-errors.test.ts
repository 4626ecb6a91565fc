import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RpmFollower } from '../layering/dnf/rpm-scripts.ts';
import { explainDnf, solverReason } from './dnf-errors.ts';
import { explainRpm, failedScript } from './rpm-install.ts';

test('a solver says in one line who needs what nobody has', () => {
  const one = ['Problem: conflicting requests', 'nothing provides libx.so.1 needed by app-1-1.noarch'].join('\n');
  assert.equal(solverReason(one), 'nothing provides libx.so.1 needed by app-1-1.noarch');
  const two = [
    'Problem 1:',
    'Problem: package app-1-1.noarch requires less > 590, but none of the providers can be installed',
    'conflicting requests',
    'package less-600-1.x86_64 is filtered out by exclude filtering',
  ].join('\n');
  assert.match(
    solverReason(two),
    /^package app-1-1\.noarch requires less > 590, .* \(package less-600-1.* exclude filtering\)$/,
  );
  assert.equal(solverReason(''), '');
});

test('each problem has its code, and what to do', () => {
  const error = (kind: string, message = '', subject: string | null = 'x') =>
    explainDnf({ kind, message, subject }, (name) => (name === 'x' ? 'tree.yaml:7' : undefined));
  assert.equal(error('no-package').message, "package 'x' (tree.yaml:7) is in none of the repositories");
  assert.equal(error('no-package', '', '@y').message, "group '@y' is in none of the repositories");
  assert.equal(error('no-repo', 'a, b').hint, 'there are: a, b');
  assert.equal(error('network', 'timed out', null).code, 'network');
  assert.equal(error('offline', 'no cache', null).code, 'not-found');
  assert.equal(error('locked', '', 'x-1').code, 'invalid');
  assert.equal(error('something else', 'words').message, 'dnf failed: words');
});

test('what rpm says becomes one line', () => {
  const script = 'app-1-1.noarch\nno luck\nwarning: %post(app-1-1.noarch) scriptlet failed, exit status 3\n';
  assert.equal(explainRpm(script).message, 'the script %post of app-1-1.noarch failed with status 3: no luck');
  const killed = 'error: %prein(app-1-1.noarch) scriptlet failed, signal 9\n';
  assert.equal(failedScript(killed)?.message, 'the script %pre of app-1-1.noarch failed with signal 9');
  assert.equal(failedScript('warning: app.rpm: Header V4 RSA/SHA256 Signature: NOKEY\n'), undefined);
  const files = '\tfile /usr/bin/x conflicts between attempted installs of a-1-1.noarch and b-1-1.noarch\n';
  assert.match(explainRpm(files).message, /a-1-1\.noarch and b-1-1\.noarch both have \/usr\/bin\/x$/);
  const old = '\tfile /usr/bin/x from install of a-1-1.noarch conflicts with file from package b-1-1.noarch\n';
  assert.match(
    explainRpm(old).message,
    /^package a-1-1\.noarch has \/usr\/bin\/x, which is in package b-1-1\.noarch, too$/,
  );
  assert.match(
    explainRpm('error: Failed dependencies:\n\tlibx is needed by a-1-1.noarch\n').message,
    /libx is needed by a/,
  );
  assert.equal(
    explainRpm('error: unpacking of archive failed: cpio: write failed - No space left on device\n').code,
    'no-space',
  );
});

test('scripts are followed by what rpm -vv prints', () => {
  const follower = new RpmFollower();
  assert.deepEqual(follower.follow('D: %post(my-app-2.0-1.fc12.noarch): scriptlet start'), {
    package: 'my-app',
    script: '%post',
  });
  assert.deepEqual(follower.follow('D: %prein(a-1-1.noarch): execv(/bin/sh) pid 3'), { package: 'a', script: '%pre' });
  assert.equal(follower.follow('D: %post(a-1-1.noarch): waitpid(3) rc 3 status 0'), null);
  assert.equal(follower.follow('+ D: %post'), undefined);
});
