import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatDate, formatSize } from './format.ts';
import { helpText, parseOptions, UsageError } from './options.ts';

test('dates are printed in UTC', () => {
  assert.equal(formatDate(1_600_000_000), '2020-09-13 12:26:40 +0000');
  assert.equal(formatDate(-446_688_000), '1955-11-06 00:00:00 +0000');
  assert.throws(() => formatDate(2 ** 50), /Invalid timestamp/);
});

test('sizes as g_format_size has them', () => {
  assert.deepEqual([0, 1, 999, 1000, 1550, 3_000_000].map(formatSize), [
    '0 bytes',
    '1 byte',
    '999 bytes',
    '1.0\u00a0kB',
    '1.6\u00a0kB',
    '3.0\u00a0MB',
  ]);
});

describe('options as GOption reads them', () => {
  const specs = [
    { long: 'branch', short: 'b', arg: 'B', text: '' },
    { long: 'user', short: 'U', text: '' },
    { long: 'hard', short: 'H', text: '' },
    { long: 'depth', arg: 'N', int: true, text: '' },
  ];
  test('anywhere, joined or apart, grouped, ended by --', () => {
    const { options, args } = parseOptions(specs, [
      'x',
      '-UH',
      '-bmain',
      '--depth',
      '-1',
      'y',
      '--branch=other',
      '--',
      '-z',
    ]);
    assert.deepEqual(args, ['x', 'y', '-z']);
    assert.ok(options.flag('user') && options.flag('hard'));
    assert.deepEqual(options.list('branch'), ['main', 'other']);
    assert.equal(options.int('depth'), -1);
  });
  const refused: [string[], string][] = [
    [['--nope=x'], 'Unknown option --nope=x'],
    [['-Uz'], 'Unknown option -Uz'],
    [['--branch'], 'Missing argument for --branch'],
    [['-b'], 'Missing argument for -b'],
    [['--depth=1x'], 'Cannot parse integer value “1x” for --depth'],
  ];
  for (const [argv, message] of refused) {
    test(argv.join(' '), () => assert.throws(() => parseOptions(specs, argv), new UsageError(message)));
  }
  test('asking for what was not declared is a defect', () => {
    assert.throws(() => parseOptions(specs, []).options.flag('nope'), TypeError);
  });
  test('help is laid out in columns', () => {
    assert.match(helpText('x [OPTION…]', 'Summary', specs), /\n {2}-b, --branch=B {5}\n/);
  });
});
