import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AtomicError } from '@atomic/ostree';
import { renderTemplate, variablesOf } from './template.ts';

const values = new Map([
  ['NAME', 'web'],
  ['MORE', ',{"a":1}'],
  ['MSG', 'say "hi" \\ $NAME'],
  ['LINES', 'a\nExecStart=/bin/evil'],
]);
const json = (text: string): unknown => JSON.parse(renderTemplate(text, values, { file: 'x', kind: 'json' }));
const line = (text: string): string => renderTemplate(text, values, { file: 'x', kind: 'line' });

test('variables are filled in once, each where it stands', () => {
  assert.equal(line('$NAME-${NAME}ctl $$NAME $(date) $1 $'), 'web-webctl $NAME $(date) $1 $');
  assert.deepEqual([...variablesOf('$A ${B} $$C $A')], ['A', 'B']);
  assert.equal(line('$MSG'), 'say "hi" \\ $NAME', 'what comes out is not looked at again');
});

test('in JSON a value is escaped in strings, and JSON itself beside them', () => {
  assert.deepEqual(json('{"args": ["$MSG", "a\\"$NAME"], "l": [1$MORE]}'), {
    args: ['say "hi" \\ $NAME', 'a"web'],
    l: [1, { a: 1 }],
  });
});

test('what has no value, and what is more than a line, is refused by name', () => {
  assert.throws(
    () => line('$B $A ${B}'),
    (error) =>
      error instanceof AtomicError &&
      error.message === 'x: no value for $A, $B' &&
      error.hint === 'give them: --set A=… --set B=…',
  );
  assert.throws(() => line('Description=$LINES'), /\$LINES has more than one line/);
  assert.deepEqual(json('["$LINES"]'), ['a\nExecStart=/bin/evil'], 'JSON can say it');
});
