import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import fc from 'fast-check';
import { engineOf, readEngineLine, wantsNext } from './engine-line.ts';
import { findLabel, labelVariables, versionOf } from './image-labels.ts';
import { substitute, withEngine } from './substitute.ts';
import { quoteWords, readWords } from './words.ts';

const context = { name: 'web', image: 'reg.example/web:1', environment: {}, folder: '/home/a', uid: 1000, gid: 100 };
const words = (label: string, more: Record<string, string> = {}): string[] =>
  substitute(label, { ...labelVariables(context), ...more }, 'the label RUN');

// What the original and podman's runlabel made of each is in docs/containers.md, "Labels".
const TABLE: [label: string, variables: Record<string, string>, result: string[] | RegExp][] = [
  ['docker run ${OPT2} IMAGE', {}, ['docker', 'run', 'reg.example/web:1']],
  ['docker run --rm ${OPT2} IMAGE', {}, ['docker', 'run', '--rm', 'reg.example/web:1']],
  ['docker run -e FOO="${FOO:-bar}" IMAGE', {}, ['docker', 'run', '-e', 'FOO=bar', 'reg.example/web:1']],
  ['docker run -e FOO="${FOO:-bar}" IMAGE', { FOO: 'x y' }, ['docker', 'run', '-e', 'FOO=x y', 'reg.example/web:1']],
  ['docker run -v ${LOGDIR}:/var/log IMAGE', {}, ['docker', 'run', '-v', '/var/log/web:/var/log', 'reg.example/web:1']],
  ['docker run -v ${ELSEWHERE}:/var/log IMAGE', {}, /variable ELSEWHERE is not set/],
  ['docker run -v ${ELSEWHERE} IMAGE', {}, /ELSEWHERE is not set, and -v would have no value/],
  ['docker run --volume=${ELSEWHERE}:/x IMAGE', {}, /ELSEWHERE is not set/],
  ['docker run -e IMG=IMAGE IMAGE', {}, ['docker', 'run', '-e', 'IMG=reg.example/web:1', 'reg.example/web:1']],
  ['docker run -e N=$NAMESPACE IMAGE', {}, ['docker', 'run', '-e', 'N=', 'reg.example/web:1']],
  ['docker run -e N=$NAMESPACE IMAGE', { NAMESPACE: 'n' }, ['docker', 'run', '-e', 'N=n', 'reg.example/web:1']],
  ['docker run -e A="two  words" IMAGE', {}, ['docker', 'run', '-e', 'A=two  words', 'reg.example/web:1']],
  ['docker run --user=$(id -u) IMAGE', {}, /output of a command.*labels get no shell/],
  ['docker run --user=`id -u` IMAGE', {}, /labels get no shell/],
  ['docker run --user=${SUDO_UID}:${SUDO_GID} IMAGE', {}, ['docker', 'run', '--user=1000:100', 'reg.example/web:1']],
  ['docker run -e X="${OPT1}" IMAGE', { OPT1: 'a $x  b' }, ['docker', 'run', '-e', 'X=a $x  b', 'reg.example/web:1']],
  ['docker run ${OPT1} IMAGE', { OPT1: "-e 'A=$x  y'" }, ['docker', 'run', '-e', 'A=$x  y', 'reg.example/web:1']],
  ['docker run ${RUN_OPTS} IMAGE', { RUN_OPTS: '-m 1g\n' }, ['docker', 'run', '-m', '1g', 'reg.example/web:1']],
  [
    'docker run --name NAME -e IMAGE=IMAGE -e NAME=NAME IMAGE',
    {},
    ['docker', 'run', '--name', 'web', '-e', 'IMAGE=reg.example/web:1', '-e', 'NAME=web', 'reg.example/web:1'],
  ],
  [
    "docker run IMAGE sh -c 'echo $HOME ${X}; ls | cat'",
    {},
    ['docker', 'run', 'reg.example/web:1', 'sh', '-c', 'echo $HOME ${X}; ls | cat'],
  ],
  ['docker run IMAGE "NAME" \\$HOME', {}, ['docker', 'run', 'reg.example/web:1', 'NAME', '$HOME']],
  ['docker run IMAGE tool --at=${NOWHERE}', {}, ['docker', 'run', 'reg.example/web:1', 'tool', '--at=']],
  ['docker run --rm IMAGE -v ${NOWHERE} x', {}, ['docker', 'run', '--rm', 'reg.example/web:1', '-v', 'x']],
  ['docker run -v ${A:-/a}:${B-/b} IMAGE', {}, ['docker', 'run', '-v', '/a:/b', 'reg.example/web:1']],
  ['docker run ${A:+--rm} IMAGE', { A: '1' }, ['docker', 'run', '--rm', 'reg.example/web:1']],
  ['docker run -e A=${A:?give it} IMAGE', {}, /A is not set, and give it/],
  ['docker run -e A=${A:-${B:-deep}} IMAGE', {}, ['docker', 'run', '-e', 'A=deep', 'reg.example/web:1']],
  ['docker run -e "A=$" IMAGE', {}, ['docker', 'run', '-e', 'A=$', 'reg.example/web:1']],
  ['docker rm NAME && docker run IMAGE', {}, /'&&' needs a shell/],
  ['docker rm x; docker run IMAGE', {}, /'x;' needs a shell/],
  ['docker run IMAGE > /etc/passwd', {}, /'>' needs a shell/],
  ['docker run -e A=$1 IMAGE', {}, /no meaning without a shell/],
  ['docker run -e A=${#A} IMAGE', {}, /is no variable/],
  ['docker run -e A=${A%x} IMAGE', {}, /is not known/],
  ['docker run "IMAGE', {}, /double quote is not closed/],
  ["docker run 'IMAGE", {}, /single quote is not closed/],
  ['docker run ${A', {}, /is not known|not closed/],
  ['docker run \\', {}, /ends with a backslash/],
];

for (const [label, variables, result] of TABLE) {
  test(`label: ${label} ${JSON.stringify(variables)}`, () => {
    if (result instanceof RegExp) assert.throws(() => words(label, variables), result);
    else assert.deepEqual(words(label, variables), result);
  });
}

test('what is displayed reads back as the same words', () => {
  const hard = ['', 'a b', "it's", '"', '$x', '`id`', 'a\nb', '\\', '*', '--x=y z', 'plain/word:1'];
  assert.deepEqual(readWords(quoteWords(hard), 'line'), hard);
});

test('whatever a label holds, it becomes words or is refused with the reason', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme' })), (hard) => {
      assert.deepEqual(readWords(quoteWords(hard), 'line'), hard);
    }),
  );
  const letters = fc.constantFrom(...'$ {}:-+?\'"\\`()IMAGE=NAMEx;&|<>\n\t', '${', '$(', '${A:-');
  fc.assert(
    fc.property(fc.string({ unit: letters }), (label) => {
      try {
        assert.ok(words(label).every((word) => typeof word === 'string'));
      } catch (error) {
        assert.ok(error instanceof AtomicError && error.code === 'invalid', String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('the engine of the label gives way to the one that is used', () => {
  assert.deepEqual(withEngine(['/usr/bin/docker', 'run', 'x'], ['podman']), ['podman', 'run', 'x']);
  assert.deepEqual(withEngine(['echo', 'docker'], ['podman']), ['echo', 'docker']);
  assert.equal(engineOf('/usr/bin/docker-compose'), undefined);
});

test('labels are found whatever their case', () => {
  assert.equal(findLabel({ run: 'a' }, 'RUN'), 'a');
  assert.equal(findLabel({ RUN: 'b', run: 'a' }, 'RUN'), 'b');
  assert.equal(findLabel({ rUn: 'c' }, 'RUN'), 'c');
  assert.equal(findLabel({ Run: '' }, 'RUN'), undefined);
  assert.equal(findLabel({ toString: 'x' }, 'constructor'), undefined);
  assert.equal(versionOf({ Name: 'web', version: '1', Release: '2' }), 'web-1-2');
});

test('command lines of engines are read', () => {
  const line = readEngineLine([
    'docker',
    '-H',
    'unix:///x',
    'run',
    '-itv',
    '/:/host',
    '--rm',
    '-e',
    'A=b',
    'img',
    '-v',
    'x',
  ]);
  assert.equal(line.verb, 'run');
  assert.deepEqual(line.options, [
    { name: 'interactive', value: 'true' },
    { name: 'tty', value: 'true' },
    { name: 'volume', value: '/:/host' },
    { name: 'rm', value: 'true' },
    { name: 'env', value: 'A=b' },
  ]);
  assert.deepEqual(line.rest, ['img', '-v', 'x']);
  assert.equal(wantsNext('--name'), true);
  assert.equal(wantsNext('--name=x'), false);
  assert.equal(wantsNext('-it'), false);
});
