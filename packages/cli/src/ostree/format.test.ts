import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatDate, formatSize, parseDate } from './format.ts';
import { helpText, parseOptions, UsageError } from './options.ts';

describe('dates', () => {
  const now = 1_700_000_000;
  const cases: [string, number | null][] = [
    ['@0', 0],
    ['@1600000000', 1_600_000_000],
    ['2020-09-13T12:26:40Z', 1_600_000_000],
    ['2020-09-13 12:26:40 +0000', 1_600_000_000],
    ['2020-09-13 14:26:40 +02:00', 1_600_000_000],
    ['Sun, 13 Sep 2020 12:26:40 GMT', 1_600_000_000],
    ['13 September 2020 12:26 UTC', 1_599_999_960],
    ['now', now],
    ['yesterday', now - 86_400],
    ['3 days ago', now - 3 * 86_400],
    ['-1 week', now - 604_800],
    ['soon', null],
    ['2020-13-01', null],
    ['@x', null],
    ['12', null],
  ];
  for (const [text, expected] of cases) {
    test(text, () => assert.equal(parseDate(text, now), expected));
  }
  test('printed in UTC', () => assert.equal(formatDate(1_600_000_000), '2020-09-13 12:26:40 +0000'));
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
